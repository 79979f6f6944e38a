#include "scorers/math/expr.h"

#include <algorithm>

namespace assay::math {
namespace {

void flatten(const Expr& e, Kind kind, std::vector<std::string>& out) {
  for (const Expr& arg : e.args) {
    if (arg.kind == kind) {
      flatten(arg, kind, out);
    } else {
      out.push_back(canonical(arg));
    }
  }
}

std::string joined(std::vector<std::string> parts, char separator, bool sorted) {
  if (sorted) std::sort(parts.begin(), parts.end());
  std::string out;
  for (const std::string& part : parts) {
    if (!out.empty()) out += separator;
    out += part;
  }
  return out;
}

std::string list(const Expr& e, char separator, bool sorted) {
  std::vector<std::string> parts;
  for (const Expr& arg : e.args) parts.push_back(canonical(arg));
  return joined(std::move(parts), separator, sorted);
}

}  // namespace

Expr number(std::string text) { return {Kind::kNumber, std::move(text), {}}; }

Expr node(Kind kind, std::vector<Expr> args, std::string text) {
  return {kind, std::move(text), std::move(args)};
}

std::string canonical(const Expr& e) {
  std::vector<std::string> parts;
  switch (e.kind) {
    case Kind::kNumber:
    case Kind::kSymbol:
    case Kind::kConstant:
    case Kind::kText:
      return e.text;
    case Kind::kInfinity:
      return "oo";
    case Kind::kAdd:
    case Kind::kMul:
      flatten(e, e.kind, parts);
      return "(" + joined(std::move(parts), e.kind == Kind::kAdd ? '+' : '*', true) + ")";
    case Kind::kDiv:
      return "(" + list(e, '/', false) + ")";
    case Kind::kNeg:
      return "-" + list(e, ' ', false);
    case Kind::kPow:
      return list(e, '^', false);
    case Kind::kFunction:
      return e.text + "(" + list(e, ',', false) + ")";
    case Kind::kPlusMinus:
      return "(" + list(e, '~', false) + ")";
    case Kind::kBased:
      return e.text + "_" + list(e, ' ', false);
    case Kind::kSequence: {
      const bool set = e.text == "{}" || e.text == ",,";
      return e.text.substr(0, 1) + list(e, ',', set) + e.text.substr(1);
    }
    case Kind::kUnion:
      return "union(" + list(e, ',', true) + ")";
    case Kind::kRelation: {
      std::string out = canonical(e.args[0]);
      for (size_t i = 1; i < e.args.size(); ++i) out += e.text[i - 1] + canonical(e.args[i]);
      return out;
    }
    case Kind::kMatrix:
      return "matrix(" + list(e, ';', false) + ")";
  }
  return {};
}

}  // namespace assay::math
