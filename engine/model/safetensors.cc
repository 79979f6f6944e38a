#include "engine/model/safetensors.h"

#include <fmt/format.h>

#include <cstring>
#include <set>

#include "harness/base/json.h"
#include "harness/base/text.h"

namespace assay {

Result<SafetensorsModel> SafetensorsModel::open(const std::string& folder) {
  SafetensorsModel model;
  const std::string single = folder + "/model.safetensors";
  const std::string index_path = single + ".index.json";
  if (file_exists(single)) {
    ASSAY_TRY_STATUS(model.add_file(single));
    return model;
  }
  if (!file_exists(index_path)) {
    return Error{folder +
                 ": holds neither model.safetensors nor model.safetensors.index.json; "
                 "name a folder with a Hugging Face model, or a .gguf file"};
  }
  ASSAY_TRY(const Json index, read_json_file(index_path));
  const auto map = index.find("weight_map");
  if (!index.is_object() || map == index.end() || !map->is_object()) {
    return Error{index_path + ": key \"weight_map\" must be an object"};
  }
  std::set<std::string> shards;
  for (const auto& [name, shard] : map->items()) {
    if (!shard.is_string() || shard.get<std::string>().find('/') != std::string::npos) {
      return Error{fmt::format("{}: the file of tensor {} must be a file name", index_path,
                               quote_for_message(name))};
    }
    shards.insert(shard.get<std::string>());
  }
  for (const std::string& shard : shards) ASSAY_TRY_STATUS(model.add_file(folder + "/" + shard));
  return model;
}

Status SafetensorsModel::add_file(const std::string& path) {
  ASSAY_TRY(MappedFile file, MappedFile::open(path));
  const std::string_view bytes = file.bytes();
  uint64_t header_bytes = 0;
  if (bytes.size() >= 8) std::memcpy(&header_bytes, bytes.data(), 8);
  constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation
  if (bytes.size() < 8 || header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - 8) {
    return Error{path + ": damaged or truncated in its header; download it again"};
  }
  ASSAY_TRY(const Json header, parse_json(bytes.substr(8, header_bytes), path + " (header)"));
  if (!header.is_object()) return Error{path + ": the header must be a JSON object"};
  const std::string_view data = bytes.substr(8 + header_bytes);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const std::string place = fmt::format("{}: tensor {}", path, quote_for_message(name));
    JsonReader reader(entry, place);
    ASSAY_TRY_STATUS(reader.must_be_object());
    Entry tensor;
    tensor.file = files_.size();
    ASSAY_TRY(tensor.dtype, reader.text("dtype"));
    const Json& shape = reader.any("shape");
    const Json& offsets = reader.any("data_offsets");
    if (!shape.is_array() || !offsets.is_array() || offsets.size() != 2 ||
        !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
      return Error{place + ": needs \"shape\" and two \"data_offsets\""};
    }
    for (const Json& side : shape) {
      if (!side.is_number_unsigned() || side.get<uint64_t>() > (uint64_t{1} << 32)) {
        return Error{place + ": has an impossible shape"};
      }
      tensor.shape.push_back(side.get<int64_t>());
    }
    const uint64_t begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
    if (begin > end || end > data.size()) {
      return Error{
          fmt::format("{} lies at bytes {}–{} of {}; the file is truncated, download it "
                      "again",
                      place, begin, end, data.size())};
    }
    tensor.bytes = data.substr(begin, end - begin);
    if (!tensors_.emplace(name, tensor).second) return Error{place + " stands twice"};
  }
  files_.emplace_back(path, std::move(file));
  return {};
}

std::vector<std::string> SafetensorsModel::paths() const {
  std::vector<std::string> out;
  for (const auto& [path, file] : files_) out.push_back(path);
  return out;
}

std::vector<const MappedFile*> SafetensorsModel::files() const {
  std::vector<const MappedFile*> out;
  for (const auto& [path, file] : files_) out.push_back(&file);
  return out;
}

Result<Weight> SafetensorsModel::tensor(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return Error{fmt::format("{}: tensor {} is missing", files_.front().first, name)};
  }
  const Entry& entry = found->second;
  const std::string place = fmt::format("{}: tensor {}", files_[entry.file].first, name);
  Weight weight;
  if (entry.dtype == "F32") {
    weight.dtype = DType::kF32;
  } else if (entry.dtype == "F16") {
    weight.dtype = DType::kF16;
  } else if (entry.dtype == "BF16") {
    weight.dtype = DType::kBF16;
  } else {
    return Error{fmt::format("{} has type {}, which is not supported; supported are F32, F16, BF16",
                             place, quote_for_message(entry.dtype))};
  }
  if (entry.shape.empty() || entry.shape.size() > 2 || entry.shape[0] == 0 ||
      entry.shape.back() == 0) {
    return Error{place + " is not 1- or 2-dimensional"};
  }
  weight.rows = entry.shape.size() == 2 ? entry.shape[0] : 1;
  weight.columns = entry.shape.back();
  if (entry.bytes.size() / weight.row_bytes() != static_cast<uint64_t>(weight.rows) ||
      entry.bytes.size() % weight.row_bytes() != 0) {
    return Error{place + " has another size than its shape says; the file is damaged"};
  }
  weight.data = reinterpret_cast<const uint8_t*>(entry.bytes.data());
  return weight;
}

}  // namespace assay
