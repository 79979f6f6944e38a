/* Exact and ball arithmetic on expressions in postfix form: what FLINT, Arb and Calcium are used
 * for. C, because Calcium's headers compile as C only. Every function is thread-safe and bounded:
 * what would take long is "not known". Constants: https://fredrikj.net/calcium/ ,
 * https://arblib.org/ . */
#ifndef ASSAY_SCORERS_MATH_NUMERIC_H_
#define ASSAY_SCORERS_MATH_NUMERIC_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum math_op {
  MATH_NUMBER,   /* pushes `number` */
  MATH_VARIABLE, /* pushes variable `index` */
  MATH_PI,
  MATH_E,
  MATH_I,
  MATH_ADD, /* of the two on top, as the four that follow */
  MATH_MUL,
  MATH_DIV,
  MATH_POW,
  MATH_LOG_BASE, /* log to the base that is below the top */
  MATH_NEG,      /* of the one on top, as all that follow */
  MATH_SQRT,
  MATH_EXP,
  MATH_LOG,
  MATH_SIN,
  MATH_COS,
  MATH_TAN,
  MATH_ASIN,
  MATH_ACOS,
  MATH_ATAN,
  MATH_SINH,
  MATH_COSH,
  MATH_TANH,
  MATH_ABS,
  MATH_FLOOR,
  MATH_CEIL,
  MATH_FACTORIAL
};

struct math_step {
  enum math_op op;
  int index;
  const char* number; /* a rational, "-3/4" */
};

struct math_program {
  const struct math_step* steps;
  size_t count;
};

enum math_answer { MATH_DIFFERENT, MATH_EQUAL, MATH_UNKNOWN };

/* Of two rationals, "-3/4". */
enum math_answer math_compare_numbers(const char* a, const char* b);

/* As rational functions of `variables` variables over the rationals. */
enum math_answer math_compare_rational(struct math_program a, struct math_program b, int variables);

/* As complex numbers, at values[i] / 64 for variable i. Different is proven. Equal means that both
 * are the same to within 2^(-precision / 2) of their size. */
enum math_answer math_compare_balls(struct math_program a, struct math_program b,
                                    const long* values, int variables, long precision);

/* Whether both constants are the same number and no more than one: floors of what is no integer. */
int math_exactly_equal(struct math_program a, struct math_program b);

/* As constants, by proof. */
enum math_answer math_compare_constants(struct math_program a, struct math_program b);

#ifdef __cplusplus
}
#endif

#endif
