// Sentences and tokens as NLTK counts them, for IFEval's number_sentences and
// capital_word_frequency.
#pragma once

#include <string_view>

namespace assay::ifeval {

// The number of sentences by Punkt (Kiss and Strunk, "Unsupervised Multilingual Sentence Boundary
// Detection", Computational Linguistics 32(4), 2006), with the abbreviations and sentence starters
// of NLTK's English model. That model's statistics of letter case are replaced by a list of common
// words, so counts can differ after an abbreviation, an initial or an ordinal.
int count_sentences(std::u32string_view text);

// The number of tokens in capital letters, where tokens are those of NLTK's improved Treebank
// tokenizer: punctuation and contractions ("CAN'T" is two) are tokens of their own.
int count_capital_words(std::u32string_view text);

}  // namespace assay::ifeval
