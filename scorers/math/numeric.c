#include "scorers/math/numeric.h"

#include <stdlib.h>

#if __has_include(<calcium/ca.h>)
#include <acb.h>
#include <calcium/ca.h>
#include <calcium/ca_vec.h>
#include <calcium/fmpz_mpoly_q.h>
#include <flint/fmpq.h>
#else /* FLINT 3 has all three */
#include <flint/acb.h>
#include <flint/ca.h>
#include <flint/ca_vec.h>
#include <flint/fmpq.h>
#include <flint/fmpz_mpoly_q.h>
#endif

/* A larger number, polynomial or exponent is not worth the time that it takes. */
#define MOST_STEPS 400
#define MOST_TERMS 600
#define MOST_POLYNOMIAL_POWER 64

static void set_number(fmpq_t x, const char* text) {
  fmpq_set_str(x, text, 10);
  fmpq_canonicalise(x);
}

static int takes_two(enum math_op op) { return op >= MATH_ADD && op <= MATH_LOG_BASE; }
static int takes_none(enum math_op op) { return op <= MATH_I; }

/* Whether the program leaves one value and never takes from an empty stack; its greatest depth. */
static int depth_of(struct math_program program) {
  int depth = 0, most = 0;
  if (program.count == 0 || program.count > MOST_STEPS) return -1;
  for (size_t i = 0; i < program.count; ++i) {
    const enum math_op op = program.steps[i].op;
    const int takes = takes_none(op) ? 0 : takes_two(op) ? 2 : 1;
    if (depth < takes) return -1;
    depth += 1 - takes;
    if (depth > most) most = depth;
  }
  return depth == 1 ? most : -1;
}

enum math_answer math_compare_numbers(const char* a, const char* b) {
  fmpq_t x, y;
  fmpq_init(x);
  fmpq_init(y);
  set_number(x, a);
  set_number(y, b);
  const enum math_answer answer = fmpq_equal(x, y) ? MATH_EQUAL : MATH_DIFFERENT;
  fmpq_clear(x);
  fmpq_clear(y);
  return answer;
}

/* --- rational functions --- */

struct rational_stack {
  fmpz_mpoly_ctx_t context;
  fmpz_mpoly_q_struct* at;
  int size, used;
};

static void rational_init(struct rational_stack* stack, int size, int variables) {
  fmpz_mpoly_ctx_init(stack->context, variables > 0 ? variables : 1, ORD_LEX);
  stack->at = malloc((size_t)size * sizeof(fmpz_mpoly_q_struct));
  stack->size = size;
  stack->used = 0;
  for (int i = 0; i < size; ++i) fmpz_mpoly_q_init(stack->at + i, stack->context);
}

static void rational_clear(struct rational_stack* stack) {
  for (int i = 0; i < stack->size; ++i) fmpz_mpoly_q_clear(stack->at + i, stack->context);
  free(stack->at);
  fmpz_mpoly_ctx_clear(stack->context);
}

static int small_enough(const fmpz_mpoly_q_struct* x, const fmpz_mpoly_ctx_t context) {
  return fmpz_mpoly_length(fmpz_mpoly_q_numref(x), context) <= MOST_TERMS &&
         fmpz_mpoly_length(fmpz_mpoly_q_denref(x), context) <= MOST_TERMS;
}

/* x = x^exponent; 0 if that is too much or not an integer power. */
static int rational_power(fmpz_mpoly_q_struct* x, const fmpz_mpoly_q_struct* exponent,
                          const fmpz_mpoly_ctx_t context) {
  if (!fmpz_mpoly_q_is_fmpq(exponent, context)) return 0;
  fmpq_t power;
  fmpq_init(power);
  int fits = 0;
  slong n = 0;
  fmpz_mpoly_get_fmpz(fmpq_numref(power), fmpz_mpoly_q_numref(exponent), context);
  fmpz_mpoly_get_fmpz(fmpq_denref(power), fmpz_mpoly_q_denref(exponent), context);
  if (fmpz_is_one(fmpq_denref(power)) && fmpz_fits_si(fmpq_numref(power))) {
    n = fmpz_get_si(fmpq_numref(power));
    fits = n >= -MOST_POLYNOMIAL_POWER && n <= MOST_POLYNOMIAL_POWER;
  }
  fmpq_clear(power);
  if (!fits) return 0;
  if (n < 0) {
    if (fmpz_mpoly_q_is_zero(x, context)) return 0;
    fmpz_mpoly_q_inv(x, x, context);
    n = -n;
  }
  fmpz_mpoly_q_t result;
  fmpz_mpoly_q_init(result, context);
  fmpz_mpoly_q_one(result, context);
  for (slong i = 0; i < n && fits; ++i) {
    fmpz_mpoly_q_mul(result, result, x, context);
    fits = small_enough(result, context);
  }
  fmpz_mpoly_q_swap(x, result, context);
  fmpz_mpoly_q_clear(result, context);
  return fits;
}

/* Leaves the program's value on the stack; 0 if it is not a rational function, or too large. */
static int rational_run(struct rational_stack* stack, struct math_program program) {
  fmpq_t number;
  for (size_t i = 0; i < program.count; ++i) {
    const struct math_step* step = program.steps + i;
    fmpz_mpoly_q_struct* top = stack->at + stack->used - 1;
    switch (step->op) {
      case MATH_NUMBER:
        fmpq_init(number);
        set_number(number, step->number);
        fmpz_mpoly_q_set_fmpq(top + 1, number, stack->context);
        fmpq_clear(number);
        ++stack->used;
        break;
      case MATH_VARIABLE:
        fmpz_mpoly_q_gen(top + 1, step->index, stack->context);
        ++stack->used;
        break;
      case MATH_NEG:
        fmpz_mpoly_q_neg(top, top, stack->context);
        break;
      case MATH_ADD:
        fmpz_mpoly_q_add(top - 1, top - 1, top, stack->context);
        --stack->used;
        break;
      case MATH_MUL:
        fmpz_mpoly_q_mul(top - 1, top - 1, top, stack->context);
        --stack->used;
        break;
      case MATH_DIV:
        if (fmpz_mpoly_q_is_zero(top, stack->context)) return 0;
        fmpz_mpoly_q_div(top - 1, top - 1, top, stack->context);
        --stack->used;
        break;
      case MATH_POW:
        if (!rational_power(top - 1, top, stack->context)) return 0;
        --stack->used;
        break;
      default:
        return 0;
    }
    if (!small_enough(stack->at + stack->used - 1, stack->context)) return 0;
  }
  return 1;
}

enum math_answer math_compare_rational(struct math_program a, struct math_program b,
                                       int variables) {
  const int a_depth = depth_of(a), b_depth = depth_of(b);
  if (a_depth < 0 || b_depth < 0) return MATH_UNKNOWN;
  struct rational_stack stack;
  rational_init(&stack, (a_depth > b_depth ? a_depth : b_depth) + 2, variables);
  enum math_answer answer = MATH_UNKNOWN;
  if (rational_run(&stack, a) && rational_run(&stack, b)) {
    answer =
        fmpz_mpoly_q_equal(stack.at, stack.at + 1, stack.context) ? MATH_EQUAL : MATH_DIFFERENT;
  }
  rational_clear(&stack);
  return answer;
}

/* --- balls --- */

static void ball_step(const struct math_step* step, acb_ptr top, const long* values,
                      long precision) {
  fmpq_t number;
  acb_t other;
  switch (step->op) {
    case MATH_NUMBER:
      fmpq_init(number);
      set_number(number, step->number);
      acb_set_fmpq(top + 1, number, precision);
      fmpq_clear(number);
      break;
    case MATH_VARIABLE:
      acb_set_si(top + 1, values[step->index]);
      acb_mul_2exp_si(top + 1, top + 1, -6);
      break;
    case MATH_PI:
      acb_const_pi(top + 1, precision);
      break;
    case MATH_E:
      acb_one(top + 1);
      acb_exp(top + 1, top + 1, precision);
      break;
    case MATH_I:
      acb_onei(top + 1);
      break;
    case MATH_ADD:
      acb_add(top - 1, top - 1, top, precision);
      break;
    case MATH_MUL:
      acb_mul(top - 1, top - 1, top, precision);
      break;
    case MATH_DIV:
      acb_div(top - 1, top - 1, top, precision);
      break;
    case MATH_POW:
      acb_pow(top - 1, top - 1, top, precision);
      break;
    case MATH_LOG_BASE:
      acb_init(other);
      acb_log(other, top - 1, precision);
      acb_log(top - 1, top, precision);
      acb_div(top - 1, top - 1, other, precision);
      acb_clear(other);
      break;
    case MATH_NEG:
      acb_neg(top, top);
      break;
    case MATH_SQRT:
      acb_sqrt(top, top, precision);
      break;
    case MATH_EXP:
      acb_exp(top, top, precision);
      break;
    case MATH_LOG:
      acb_log(top, top, precision);
      break;
    case MATH_SIN:
      acb_sin(top, top, precision);
      break;
    case MATH_COS:
      acb_cos(top, top, precision);
      break;
    case MATH_TAN:
      acb_tan(top, top, precision);
      break;
    case MATH_ASIN:
      acb_asin(top, top, precision);
      break;
    case MATH_ACOS:
      acb_acos(top, top, precision);
      break;
    case MATH_ATAN:
      acb_atan(top, top, precision);
      break;
    case MATH_SINH:
      acb_sinh(top, top, precision);
      break;
    case MATH_COSH:
      acb_cosh(top, top, precision);
      break;
    case MATH_TANH:
      acb_tanh(top, top, precision);
      break;
    case MATH_ABS:
      acb_abs(acb_realref(top), top, precision);
      arb_zero(acb_imagref(top));
      break;
    case MATH_FLOOR:
      arb_floor(acb_realref(top), acb_realref(top), precision);
      arb_zero(acb_imagref(top));
      break;
    case MATH_CEIL:
      arb_ceil(acb_realref(top), acb_realref(top), precision);
      arb_zero(acb_imagref(top));
      break;
    case MATH_FACTORIAL:
      acb_add_ui(top, top, 1, precision);
      acb_gamma(top, top, precision);
      break;
  }
}

static void ball_run(struct math_program program, acb_ptr stack, const long* values,
                     long precision) {
  int used = 0;
  for (size_t i = 0; i < program.count; ++i) {
    const enum math_op op = program.steps[i].op;
    ball_step(program.steps + i, stack + used - 1, values, precision);
    used += takes_none(op) ? 1 : takes_two(op) ? -1 : 0;
  }
}

enum math_answer math_compare_balls(struct math_program a, struct math_program b,
                                    const long* values, int variables, long precision) {
  (void)variables;
  const int a_depth = depth_of(a), b_depth = depth_of(b);
  if (a_depth < 0 || b_depth < 0) return MATH_UNKNOWN;
  acb_ptr a_stack = _acb_vec_init(a_depth + 1), b_stack = _acb_vec_init(b_depth + 1);
  ball_run(a, a_stack, values, precision);
  ball_run(b, b_stack, values, precision);
  enum math_answer answer = MATH_UNKNOWN;
  if (acb_is_finite(a_stack) && acb_is_finite(b_stack)) {
    if (!acb_overlaps(a_stack, b_stack)) {
      answer = MATH_DIFFERENT;
    } else if (acb_rel_accuracy_bits(a_stack) > precision / 2 &&
               acb_rel_accuracy_bits(b_stack) > precision / 2) {
      answer = MATH_EQUAL;
    }
  }
  _acb_vec_clear(a_stack, a_depth + 1);
  _acb_vec_clear(b_stack, b_depth + 1);
  return answer;
}

int math_exactly_equal(struct math_program a, struct math_program b) {
  const int a_depth = depth_of(a), b_depth = depth_of(b);
  if (a_depth < 0 || b_depth < 0) return 0;
  acb_ptr a_stack = _acb_vec_init(a_depth + 1), b_stack = _acb_vec_init(b_depth + 1);
  ball_run(a, a_stack, NULL, 256);
  ball_run(b, b_stack, NULL, 256);
  const int same = acb_is_finite(a_stack) && acb_is_exact(a_stack) && acb_equal(a_stack, b_stack);
  _acb_vec_clear(a_stack, a_depth + 1);
  _acb_vec_clear(b_stack, b_depth + 1);
  return same;
}

/* --- constants --- */

/* x = x^power; 0 if it is too much. */
static int constant_power(ca_t x, const ca_t power, ca_ctx_t context) {
  fmpq_t exponent;
  fmpq_init(exponent);
  int fits = 1;
  if (ca_get_fmpq(exponent, power, context)) {
    fits = fmpz_cmpabs(fmpq_numref(exponent), fmpq_denref(exponent)) <= 0 ||
           (fmpz_bits(fmpq_numref(exponent)) < 9 && fmpz_bits(fmpq_denref(exponent)) < 6);
    fits = fits && fmpz_bits(fmpq_denref(exponent)) < 8;
  }
  fmpq_clear(exponent);
  if (fits) ca_pow(x, x, power, context);
  return fits;
}

static int constant_run(struct math_program program, ca_ptr stack, ca_ctx_t context) {
  fmpq_t number;
  int used = 0;
  for (size_t i = 0; i < program.count; ++i) {
    const struct math_step* step = program.steps + i;
    ca_ptr top = stack + used - 1;
    switch (step->op) {
      case MATH_NUMBER:
        fmpq_init(number);
        set_number(number, step->number);
        ca_set_fmpq(top + 1, number, context);
        fmpq_clear(number);
        break;
      case MATH_PI:
        ca_pi(top + 1, context);
        break;
      case MATH_E:
        ca_one(top + 1, context);
        ca_exp(top + 1, top + 1, context);
        break;
      case MATH_I:
        ca_i(top + 1, context);
        break;
      case MATH_ADD:
        ca_add(top - 1, top - 1, top, context);
        break;
      case MATH_MUL:
        ca_mul(top - 1, top - 1, top, context);
        break;
      case MATH_DIV:
        ca_div(top - 1, top - 1, top, context);
        break;
      case MATH_POW:
        if (!constant_power(top - 1, top, context)) return 0;
        break;
      case MATH_LOG_BASE:
        ca_log(top - 1, top - 1, context);
        ca_log(top, top, context);
        ca_div(top - 1, top, top - 1, context);
        break;
      case MATH_NEG:
        ca_neg(top, top, context);
        break;
      case MATH_SQRT:
        ca_sqrt(top, top, context);
        break;
      case MATH_EXP:
        ca_exp(top, top, context);
        break;
      case MATH_LOG:
        ca_log(top, top, context);
        break;
      case MATH_SIN:
        ca_sin_cos(top, NULL, top, context);
        break;
      case MATH_COS:
        ca_sin_cos(NULL, top, top, context);
        break;
      case MATH_TAN:
        ca_tan(top, top, context);
        break;
      case MATH_ASIN:
        ca_asin(top, top, context);
        break;
      case MATH_ACOS:
        ca_acos(top, top, context);
        break;
      case MATH_ATAN:
        ca_atan(top, top, context);
        break;
      case MATH_ABS:
        ca_abs(top, top, context);
        break;
      default: /* hyperbolic functions are given as exponentials */
        return 0;
    }
    used += takes_none(step->op) ? 1 : takes_two(step->op) ? -1 : 0;
    if (ca_is_special(stack + used - 1, context)) return 0;
  }
  return 1;
}

enum math_answer math_compare_constants(struct math_program a, struct math_program b) {
  const int a_depth = depth_of(a), b_depth = depth_of(b);
  if (a_depth < 0 || b_depth < 0) return MATH_UNKNOWN;
  ca_ctx_t context;
  ca_ctx_init(context);
  ca_ctx_set_option(context, CA_OPT_PREC_LIMIT, 1024);
  ca_ctx_set_option(context, CA_OPT_QQBAR_DEG_LIMIT, 32);
  ca_ctx_set_option(context, CA_OPT_USE_GROEBNER, 0);
  ca_ptr a_stack = _ca_vec_init(a_depth + 1, context), b_stack = _ca_vec_init(b_depth + 1, context);
  enum math_answer answer = MATH_UNKNOWN;
  if (constant_run(a, a_stack, context) && constant_run(b, b_stack, context)) {
    const truth_t equal = ca_check_equal(a_stack, b_stack, context);
    answer = equal == T_TRUE ? MATH_EQUAL : equal == T_FALSE ? MATH_DIFFERENT : MATH_UNKNOWN;
  }
  _ca_vec_clear(a_stack, a_depth + 1, context);
  _ca_vec_clear(b_stack, b_depth + 1, context);
  ca_ctx_clear(context);
  return answer;
}
