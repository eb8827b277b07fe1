/* lgamma, digamma, trigamma and erfcx without branches, so that loops of them are vectors: each computes the formula of every
 * part of its domain and selects. Infinities, nan and poles are PyTorch's. `scripts/special_coefficients.py` makes the
 * polynomials; tests/compiler/test_special.py holds the errors, a few ulp of the result, or of its largest term where terms
 * cancel. Formulas by their numbers in Abramowitz and Stegun. Where x <= 0: reflection (6.1.17, 6.3.7, 6.4.7),
 * which a third to a half of the time goes into: emitted loops compute the forms for positive arguments, and the whole again
 * where some argument was not (engines/native/nests.py). */

#define PYROXENE_PI 3.14159265358979323846

/* sin(pi r) / r and cos(pi r), |r| <= 1/2, of r^2. */
static inline double pyroxene_sine_of_square(double w) {
    return (3.141592653589793 + w * (-5.167712780049969 + w * (2.5501640398773007 + w * (-0.5992645293189447 + w *
        (0.0821458865731029 + w * (-0.007370430505916944 + w * (0.0004662998161898394 + w *
        (-2.1903497074626018e-05 + w * 7.697826768224191e-07))))))));
}

static inline double pyroxene_cosine_of_square(double w) {
    return (1.0 + w * (-4.934802200544676 + w * (4.058712126416497 + w * (-1.335262768843447 + w *
        (0.23533063012953284 + w * (-0.025806888737002202 + w * (0.0019295562724817132 + w *
        (-0.00010456655338748738 + w * 4.149564353942586e-06))))))));
}

/* From 5 on Stirling's formula (6.1.41). Below, x = m + t for a whole m and |t| <= 1/2: log gamma(2 + t), which is t times a
 * polynomial and so right near its zero at 2, and the logarithm of the factors between, which is right near 1. */
static inline double pyroxene_lgamma_positive(double x) {
    const double m = rint(x), t = x - m;
    double factors = m < 2.0 ? (m < 1.0 ? x * (1.0 + x) : x) : m > 2.0 ? t + 2.0 : 1.0;
    factors *= m > 3.0 ? t + 3.0 : 1.0;
    factors *= m > 4.0 ? t + 4.0 : 1.0;
    const double logarithm = log(x < 5.0 ? factors : x);
    const double near = t * (0.42278433509846713 + t * (0.32246703342411215 + t * (-0.06735230105319759 + t *
        (0.02058080842799012 + t * (-0.0073855510287714685 + t * (0.0028905103192621994 + t *
        (-0.0011927539062598581 + t * (0.0005096698119432116 + t * (-0.00022315489463809116 + t *
        (9.945371368841632e-05 + t * (-4.492443535898787e-05 + t * (2.0535581020500523e-05 + t *
        (-9.452938473714576e-06 + t * (4.2553702843110484e-06 + t * (-1.982565620739196e-06 + t *
        (1.2159620602745015e-06 + t * (-5.72865310850801e-07)))))))))))))))));
    const double v = 1.0 / x, w = v * v;
    const double rest = v * (0.08333333333333304 + w * (-0.002777777777064221 + w * (0.0007936505051684339 + w *
        (-0.0005951938894220408 + w * (0.0008384708154491549 + w * (-0.001788521804257058 + w *
        0.0036903634280840815))))));
    const double far = (x - 0.5) * (logarithm - 1.0) + (0.41893853320467274178 + rest); /* (log(2 pi) - 1) / 2 */
    return x < 5.0 ? (m < 2.0 ? near - logarithm : near + logarithm) : far;
}

static inline double pyroxene_lgamma(double x) {
    const double y = pyroxene_lgamma_positive(x > 0.0 ? x : 1.0 - x), r = x - rint(x);
    const double reflected = 1.1447298858494001741 - log(fabs(r * pyroxene_sine_of_square(r * r))) - y; /* log(pi) */
    return x <= 0.0 ? (fabs(r) > 0.0 ? reflected : INFINITY) : y;
}

/* From 6 on the asymptotic series (6.3.18). Below, six terms of the recurrence (6.3.6) before it, in pairs: x + j and x + 5 - j
 * have the sum 2 x + 5 and the product x (x + 5) + j (5 - j). */
static inline double pyroxene_digamma_positive(double x) {
    const double y = x < 6.0 ? x + 6.0 : x, v = 1.0 / y, w = v * v;
    const double a = x * (x + 5.0), b = a + 4.0, c = a + 6.0;
    const double skipped = (2.0 * x + 5.0) * (a * b + (a + b) * c) / (a * b * c);
    const double rest = w * (0.08333333333333294 + w * (-0.00833333333196673 + w * (0.003968253174196778 + w *
        (-0.00416649213380119 + w * (0.007557240349829397 + w * (-0.02005781319935496 + w * 0.0527835788020277))))));
    return log(y) - (0.5 * v + rest) - (x < 6.0 ? skipped : 0.0);
}

static inline double pyroxene_digamma(double x) {
    const double y = pyroxene_digamma_positive(x > 0.0 ? x : 1.0 - x), r = x - rint(x), w = r * r;
    const double reflected = y - PYROXENE_PI * pyroxene_cosine_of_square(w) / (r * pyroxene_sine_of_square(w));
    return x <= 0.0 ? (x == 0.0 ? -1.0 / x : fabs(r) > 0.0 ? reflected : NAN) : y;
}

/* The same for the derivative (6.4.12, 6.4.6): the squares of x + j and x + 5 - j have the sum 2 x (x + 5) + 25 - 2 j (5 - j). */
static inline double pyroxene_trigamma_positive(double x) {
    const double y = x < 6.0 ? x + 6.0 : x, v = 1.0 / y, w = v * v;
    const double a = x * (x + 5.0), b = a + 4.0, c = a + 6.0, aa = a * a, bb = b * b, cc = c * c;
    const double both = (2.0 * a + 25.0) * bb + (2.0 * a + 17.0) * aa;
    const double skipped = (both * cc + (2.0 * a + 13.0) * (aa * bb)) / (aa * bb * cc);
    const double rest = v * w * (0.16666666666666088 + w * (-0.0333333333128563 + w * (0.023809511899145683 + w *
        (-0.03333071001528275 + w * (0.0754782180124743 + w * (-0.23739189872995023 + w * 0.6958913740129348))))));
    return v + (0.5 * w + rest) + (x < 6.0 ? skipped : 0.0);
}

static inline double pyroxene_trigamma(double x) {
    const double y = pyroxene_trigamma_positive(x > 0.0 ? x : 1.0 - x), r = x - rint(x);
    const double slope = PYROXENE_PI / (r * pyroxene_sine_of_square(r * r));
    return x <= 0.0 ? slope * slope - y : y;
}

/* exp(x^2) erfc(x), x >= 0. Source: Shepherd and Laframboise 1981, Chebyshev approximation of (1 + 2x) exp(x^2) erfc(x). */
static inline double pyroxene_erfcx_positive(double x) {
    const double t = 1.0 - 7.5 / (x + 3.75);
    return (1.2375126308378275 + t * (-0.14024059858554522 + t * (0.0035854154854663067 + t * (0.08227673848999159 + t *
        (-0.10880393014193915 + t * (0.09230432116435616 + t * (-0.058693398584491845 + t *
        (0.028362277371370044 + t * (-0.00974657962081509 + t * (0.0017556261692276722 + t *
        (0.00029371408777227685 + t * (-0.0002901553656394713 + t * (5.164737123871838e-05 + t *
        (2.238759272534769e-05 + t * (-1.143961526007595e-05 + t * (-9.79297529099823e-07 + t *
        (1.7438577411359181e-06 + t * (-5.0816911811698186e-08 + t * (-2.4996538037405243e-07 + t *
        (1.8778501156468795e-08 + t * (3.256499083798513e-08 + t * (-1.952790162974837e-09 + t *
        (-2.7293941332533855e-09))))))))))))))))))))))) * (0.5 / (x + 0.5));
}

static inline double pyroxene_erfcx(double x) {
    const double y = pyroxene_erfcx_positive(fabs(x)), z = x > -27.0 ? x : -27.0; /* exp(27^2) is infinite */
    const double square = z * z, rest = fma(z, z, -square);
    return x < 0.0 ? 2.0 * exp(square) * (1.0 + rest) - y : y;
}
