#include "scorers/ifeval/sentences.h"

#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "harness/base/text.h"
#include "scorers/ifeval/unicode.h"

namespace assay::ifeval {
namespace {

using View = std::u32string_view;

// Types (lower case, no final full stop) of NLTK's english.pickle, trained on the Wall Street
// Journal.
const std::unordered_set<std::string>& abbreviations() {
  static const std::unordered_set<std::string> kSet = [] {
    std::unordered_set<std::string> set;
    constexpr const char* kText =
        "a.a a.c a.d a.g a.h a.m a.m.e a.s a.t adm ala ariz aug ave b.f b.v bros c c.i.t c.o.m.b "
        "c.v calif chg cie co col colo conn corp cos ct d d.c d.h d.w dec dr e e.f e.h e.l e.m f "
        "f.g f.j feb fla fri ft g g.d g.f g.k ga gen h h.c h.f h.m i.m.s ill inc j.b j.c j.j j.k "
        "j.p j.r jan jr k kan ky l l.a l.f l.p lt ltd m m.b.a m.d.c m.j maj messrs mg mich minn mr "
        "mrs ms n n.c n.d n.h n.j n.m n.v n.y nev nov oct ok okla ore p p.a.m p.m pa ph.d prof r "
        "r.a r.h r.i r.j r.k r.t rep reps s s.a s.a.y s.c s.g s.p.a s.s sen sep sept sr st sw t "
        "t.j tenn tues u.k u.n u.s u.s.a u.s.s.r v va vs vt w w.c w.r w.va w.w wash wed wis yr";
    for (const std::string& word : split(kText, ' ')) set.insert(word);
    return set;
  }();
  return kSet;
}

const std::unordered_set<std::string>& sentence_starters() {
  static const std::unordered_set<std::string> kSet = {
      "according", "although", "among",      "both",      "but",   "despite",      "even",
      "he",        "however",  "i",          "if",        "in",    "indeed",       "instead",
      "it",        "many",     "meanwhile",  "moreover",  "most",  "nevertheless", "nonetheless",
      "nor",       "sales",    "separately", "similarly", "since", "so",           "some",
      "the",       "there",    "these",      "they",      "this",  "though",       "thus",
      "under",     "when",     "while",      "yet"};
  return kSet;
}

// Words that text has in lower case: with a capital they begin a sentence.
const std::unordered_set<std::string>& common_words() {
  static const std::unordered_set<std::string> kSet = [] {
    std::unordered_set<std::string> set = sentence_starters();
    constexpr const char* kText =
        "a about above across after again against all also always an and another any are as ask at "
        "avoid be because been before being below between by call can check choose come consider "
        "could create did do does don't during each eat every few find first follow for from get "
        "give go had has have her here his how include into is its just keep know last later learn "
        "let like look make may might more must my need never new next no not now of off often on "
        "once one only or other our out over own please put read remember say see set she should "
        "show someone something start such take tell than that their them then through to too try "
        "turn two until up use very visit was watch we were what where which who why will with "
        "without work would write you your";
    for (const std::string& word : split(kText, ' ')) set.insert(word);
    return set;
  }();
  return kSet;
}

bool is_sentence_end(char32_t c) { return c == '.' || c == '?' || c == '!'; }
bool among(char32_t c, View set) { return set.find(c) != View::npos; }
bool is_nonword(char32_t c) { return among(c, U")\";}]*:@'({[!?"); }
bool starts_word(char32_t c) { return !among(c, U"(\"`{[:;&#*@)}]-,"); }

// "--", "..", ". . ." at `at`; its length or 0.
size_t multi_char(View text, size_t at) {
  size_t end = at;
  while (end < text.size() && text[end] == '-') ++end;
  if (end - at >= 2) return end - at;
  end = at;
  while (end < text.size() && text[end] == '.') ++end;
  if (end - at >= 2) return end - at;
  int pairs = 0;
  end = at;
  while (end + 1 < text.size() && text[end] == '.' && is_space(text[end + 1])) {
    ++pairs;
    end += 2;
  }
  if (pairs >= 2 && end < text.size() && text[end] == '.') return end + 1 - at;
  return pairs >= 3 ? end - 1 - at : 0;
}

// Whether a word that began before may end at `at`.
bool word_ends(View text, size_t at) {
  const auto ends = [&](size_t i) {
    return i == text.size() || is_space(text[i]) || is_nonword(text[i]) || multi_char(text, i) > 0;
  };
  return ends(at) || (text[at] == ',' && ends(at + 1));
}

struct Token {
  View text;
  bool sentence_break = false, abbreviation = false, ellipsis = false;
};

std::vector<Token> punkt_tokens(View text) {
  std::vector<Token> tokens;
  for (size_t at = 0; at < text.size();) {
    if (is_space(text[at])) {
      ++at;
      continue;
    }
    size_t length = multi_char(text, at);
    if (length == 0) {
      length = 1;
      if (starts_word(text[at])) {
        while (!is_space(text[at + length - 1]) && !word_ends(text, at + length)) ++length;
      }
    }
    tokens.push_back({text.substr(at, length)});
    at += length;
  }
  return tokens;
}

// In ASCII and lower case; numbers as "##number##", like Punkt's types. Other letters do not matter
// here.
std::string type_of(View token) {
  std::string out;
  bool number = true, digits = false;
  for (size_t i = 0; i < token.size(); ++i) {
    const char32_t c = token[i];
    out += c < 0x80 ? static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c) : '?';
    const bool digit = c >= '0' && c <= '9';
    digits = digits || digit;
    number = number && (digit || c == '.' || c == ',' || (c == '-' && i == 0));
  }
  const bool final_stop = out.ends_with('.');
  if (number && digits) return final_stop ? "##number##." : "##number##";
  return out;
}

std::string without_stop(std::string type) {
  if (type.size() > 1 && type.ends_with('.')) type.pop_back();
  return type;
}

bool is_initial(View token) {
  return token.size() == 2 && token[1] == '.' && is_word(token[0]) && token[0] != '_' &&
         !(token[0] >= '0' && token[0] <= '9');
}

// Whether the letter case of the token after a full stop says that a sentence begins; nothing if it
// does not tell.
std::optional<bool> begins_by_case(View token) {
  if (token.size() == 1 && among(token[0], U";:,.!?")) return false;
  if (is_lower(token[0])) return false;
  if (is_upper(token[0]) && common_words().contains(without_stop(type_of(token)))) return true;
  return std::nullopt;
}

// Punkt's first pass: what a token is by itself.
void annotate(Token& token) {
  const View text = token.text;
  if (text.size() == 1 && is_sentence_end(text[0])) {
    token.sentence_break = true;
  } else if (text.size() >= 2 && text.find_first_not_of(U'.') == View::npos) {
    token.ellipsis = true;
  } else if (text.back() == '.' && !text.ends_with(U"..")) {
    const std::string type = type_of(text.substr(0, text.size() - 1));
    const size_t hyphen = type.rfind('-');
    token.abbreviation =
        abbreviations().contains(type) ||
        (hyphen != std::string::npos && abbreviations().contains(type.substr(hyphen + 1)));
    token.sentence_break = !token.abbreviation;
  }
}

// Punkt's second pass: what the next token says about a final full stop.
void annotate_pair(Token& token, const Token& next) {
  if (token.text.back() != '.') return;
  const bool initial = is_initial(token.text);
  const std::optional<bool> begins = begins_by_case(next.text);
  const std::string next_type = without_stop(type_of(next.text));
  const bool upper = is_upper(next.text[0]);
  if ((token.abbreviation || token.ellipsis) && !initial) {
    if (begins == true || (upper && sentence_starters().contains(next_type))) {
      token.sentence_break = true;
      return;
    }
  }
  if (initial || without_stop(type_of(token.text)) == "##number##") {
    if (begins == false || (!begins && initial && upper && !common_words().contains(next_type))) {
      token.sentence_break = false;
      token.abbreviation = true;
    }
  }
}

// Whether a sentence ends in `context` before its last token.
bool holds_break(View context) {
  std::vector<Token> tokens = punkt_tokens(context);
  for (Token& token : tokens) annotate(token);
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    annotate_pair(tokens[i], tokens[i + 1]);
    if (tokens[i].sentence_break) return true;
  }
  return false;
}

// A mark that may end a sentence, and what follows it: other punctuation or the next word.
struct Candidate {
  size_t mark = 0, after_end = 0;  // context is [word_begin, after_end)
  std::optional<size_t> next_word;
  size_t word_begin = 0;
};

std::optional<Candidate> candidate_at(View text, size_t at) {
  if (!is_sentence_end(text[at]) || at + 1 >= text.size()) return std::nullopt;
  Candidate candidate;
  candidate.mark = at;
  if (is_nonword(text[at + 1])) {
    candidate.after_end = at + 2;
    return candidate;
  }
  size_t next = at + 1;
  while (next < text.size() && is_space(text[next])) ++next;
  if (next == at + 1 || next == text.size()) return std::nullopt;
  candidate.next_word = next;
  while (next < text.size() && !is_space(text[next])) ++next;
  candidate.after_end = next;
  return candidate;
}

struct Slice {
  size_t begin, end;
};

std::vector<Slice> slices(View text) {
  std::vector<Candidate> candidates;
  size_t begin = 0, end = 0;  // the word before the last candidate
  for (size_t at = 0; at < text.size(); ++at) {
    std::optional<Candidate> candidate = candidate_at(text, at);
    if (!candidate) continue;
    size_t word = begin;
    for (size_t i = at; i > end; --i) {
      // A space at the very beginning of what lies between does not count, as in NLTK.
      if (is_space(text[i - 1]) && i - 1 > end) {
        word = i;
        break;
      }
    }
    // Marks of one word are one candidate, the last.
    if (!candidates.empty() && end > word) candidates.pop_back();
    candidate->word_begin = word;
    candidates.push_back(*candidate);
    begin = word;
    end = at;
  }
  std::vector<Slice> out;
  size_t last = 0;
  for (const Candidate& candidate : candidates) {
    const View context =
        text.substr(candidate.word_begin, candidate.after_end - candidate.word_begin);
    if (!holds_break(context)) continue;
    out.push_back({last, candidate.mark + 1});
    last = candidate.next_word.value_or(candidate.mark + 1);
  }
  size_t stripped = text.size();
  while (stripped > 0 && is_space(text[stripped - 1])) --stripped;
  out.push_back({last, std::max(last, stripped)});
  return out;
}

// Length of closing quotes and brackets at the beginning, with the space behind them, that belong
// to the sentence before; 0 if there are none.
size_t closing_marks(View sentence) {
  size_t at = 0;
  while (at < sentence.size() && among(sentence[at], U"\"')]}")) {
    ++at;
    if (at == sentence.size() || sentence[at] == '\n' || sentence.substr(at).starts_with(U"--") ||
        is_space(sentence[at])) {
      while (at < sentence.size() && is_space(sentence[at])) ++at;
      return at;
    }
  }
  return 0;
}

}  // namespace

int count_sentences(View text) {
  const std::vector<Slice> all = slices(text);
  int count = 0;
  size_t moved = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const size_t begin = all[i].begin + moved;
    moved = 0;
    if (i + 1 < all.size()) {
      moved = closing_marks(text.substr(all[i + 1].begin, all[i + 1].end - all[i + 1].begin));
    }
    count += moved > 0 || begin < all[i].end ? 1 : 0;
  }
  return count;
}

namespace {

// How many capital tokens a piece without punctuation of its own holds: contractions are parted.
int capital_tokens(View piece) {
  static const std::unordered_set<std::string> kTwoWords = {"cannot", "gimme", "gonna", "gotta",
                                                            "lemme",  "wanna", "'tis",  "'twas"};
  while (!piece.empty() && piece.back() == '\'') piece.remove_suffix(1);
  if (piece.empty()) return 0;
  const auto one = [](View token) { return all_upper(token) ? 1 : 0; };
  if (kTwoWords.contains(type_of(piece))) return 2 * one(piece);
  static const std::u32string kEndings[] = {U"'s",  U"'S",  U"'m",  U"'M",  U"'d",  U"'D",  U"'ll",
                                            U"'LL", U"'re", U"'RE", U"'ve", U"'VE", U"n't", U"N'T"};
  for (const std::u32string& ending : kEndings) {
    if (piece.size() > ending.size() && piece.ends_with(ending) &&
        piece[piece.size() - ending.size() - 1] != '\'') {
      return one(piece.substr(0, piece.size() - ending.size())) + one(ending);
    }
  }
  return one(piece);
}

}  // namespace

int count_capital_words(View text) {
  int count = 0;
  size_t begin = 0;
  const auto end_piece = [&](size_t end) {
    if (end > begin) count += capital_tokens(text.substr(begin, end - begin));
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    const char32_t next = i + 1 < text.size() ? text[i + 1] : U' ';
    size_t length = 0;
    if (is_space(c) || among(c, U"«“‘„`»”’;@#$%&?!*[](){}<>\"")) {
      length = 1;
    } else if ((c == ':' || c == ',') && !(next >= '0' && next <= '9')) {
      length = 1;
    } else if ((c == '.' && next == '.') || (c == '-' && next == '-') ||
               (c == '\'' && next == '\'')) {
      length = 2;
      while (c == '.' && i + length < text.size() && text[i + length] == '.') ++length;
    }
    if (length == 0) continue;
    end_piece(i);
    i += length - 1;
    begin = i + 1;
  }
  end_piece(text.size());
  return count;
}

}  // namespace assay::ifeval
