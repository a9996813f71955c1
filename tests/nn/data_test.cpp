// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.h"
#include "tessera/nn/data/dataset.h"
#include "tessera/nn/data/npz.h"

#include "support/shared_files.h"

namespace tessera::nn {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

template <typename E, typename Function>
std::string message(const Function& function) {
  try {
    function();
  } catch (const E& error) {
    return error.what();
  }
  return "no error";
}

template <typename E>
std::string load_error(const std::string& spec) {
  return message<E>([&] { load_dataset(spec, 1); });
}

void write(const fs::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string idx(const std::vector<std::uint32_t>& sizes) {
  std::string text{'\0', '\0', '\x08', static_cast<char>(sizes.size())};
  std::size_t count = 1;
  for (const std::uint32_t size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8)
      text += static_cast<char>(size >> shift & 0xff);
    count *= size;
  }
  for (std::size_t i = 0; i < count; ++i)
    text += static_cast<char>(i % 7);
  return text;
}

// 40 training and 8 test images of 3×2 pixels in 7 classes.
fs::path idx_folder() {
  const fs::path folder = testing::temp_folder();
  write(folder / "train-images-idx3-ubyte", idx({40, 3, 2}));
  write(folder / "train-labels-idx1-ubyte", idx({40}));
  write(folder / "t10k-images-idx3-ubyte", idx({8, 3, 2}));
  write(folder / "t10k-labels-idx1-ubyte", idx({8}));
  return folder;
}

TEST(Dataset, ReadsIdx) {
  const Dataset data = load_dataset("idx:" + idx_folder().string() + "?validation=10", 1);
  EXPECT_EQ(data.train.size(), 30);
  EXPECT_EQ(data.validation.size(), 10);
  EXPECT_EQ(data.test.images.sizes().vec(), (std::vector<std::int64_t>{8, 1, 3, 2}));
  EXPECT_EQ(data.test.images[1][0][0][1].item<int>(), 0);  // the 8th byte
  EXPECT_EQ(data.test.labels[6].item<int>(), 6);
  EXPECT_EQ(data.classes, 7);
  EXPECT_EQ(image_size(data.test), "1x3x2");
  EXPECT_TRUE(data.preprocessing.mean.empty());
  EXPECT_FALSE(data.horizontal_flip);
}

TEST(Dataset, TheSameSeedHoldsOutTheSameImages) {
  const std::string spec = "idx:" + idx_folder().string();
  const Dataset a = load_dataset(spec, 1);
  const Dataset b = load_dataset(spec, 1);
  const Dataset c = load_dataset(spec, 2);
  EXPECT_EQ(a.validation.size(), 4);  // a tenth
  EXPECT_TRUE(torch::equal(a.validation.labels, b.validation.labels));
  EXPECT_FALSE(torch::equal(a.train.images, c.train.images));
  EXPECT_EQ(a.sha256, c.sha256);
  const torch::Tensor labels = torch::cat({a.train.labels, a.validation.labels});
  EXPECT_TRUE(
      torch::equal(std::get<0>(labels.sort()), std::get<0>((torch::arange(40) % 7).sort())));
}

TEST(Dataset, ReadsNpzInEachLayout) {
  const fs::path file = testing::temp_folder() / "d.npz";
  const torch::Tensor rows = torch::arange(20 * 3 * 4 * 5).view({20, 3, 4, 5}).to(torch::kUInt8);
  const torch::Tensor labels = torch::arange(20) % 3;
  for (const bool channels_last : {false, true}) {
    const torch::Tensor images = channels_last ? rows.permute({0, 2, 3, 1}).contiguous() : rows;
    write_npz(file, {{"x_train", images},
                     {"y_train", labels.view({20, 1}).to(torch::kUInt8)},
                     {"x_test", images},
                     {"y_test", labels.to(torch::kInt32)}});
    const Dataset data = load_dataset("npz:" + file.string(), 1);
    EXPECT_TRUE(torch::equal(data.test.images, rows));
    EXPECT_TRUE(torch::equal(data.test.labels, labels));
  }
}

TEST(Dataset, ReadsCifarRecords) {
  const fs::path folder = testing::temp_folder();
  std::string record(3073, '\0');
  record[0] = 9;
  record[1] = 10;         // red, first pixel
  record[1 + 1024] = 20;  // green
  record[1 + 2048] = 30;  // blue
  for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                           "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"})
    write(folder / name, record + record);
  const Dataset data = load_dataset("cifar10:" + folder.string(), 1);
  EXPECT_EQ(data.train.size() + data.validation.size(), 10);
  EXPECT_EQ(data.test.labels[1].item<int>(), 9);
  EXPECT_EQ(data.test.images[1][1][0][0].item<int>(), 20);
  EXPECT_EQ(data.preprocessing.mean, (std::vector<double>{0.4914, 0.4822, 0.4465}));

  record[0] = 10;
  write(folder / "test_batch.bin", record);
  EXPECT_THAT(load_error<IoError>("cifar10:" + folder.string()),
              AllOf(HasSubstr("test_batch.bin"), HasSubstr("label 10 of image 0")));
  write(folder / "test_batch.bin", "short");
  EXPECT_THAT(load_error<IoError>("cifar10:" + folder.string()), HasSubstr("5 bytes"));
  fs::remove(folder / "data_batch_3.bin");
  EXPECT_THAT(load_error<IoError>("cifar10:" + folder.string()), HasSubstr("data_batch_3.bin"));
}

TEST(Dataset, NamesWhatIsWrongWithTheSpec) {
  EXPECT_THAT(load_error<UsageError>("cifar-10:/x"),
              AllOf(HasSubstr("did you mean 'cifar10'"), HasSubstr("fashion-mnist")));
  EXPECT_THAT(load_error<UsageError>("cifar10"), HasSubstr("cifar10:DIR"));
  EXPECT_THAT(load_error<UsageError>("fashion-mnist:/x"), HasSubstr("takes no place"));
  EXPECT_THAT(load_error<UsageError>("idx:/x?meen=1"), HasSubstr("did you mean 'mean'"));
  EXPECT_THAT(load_error<UsageError>("idx:/x?mean"), HasSubstr("lacks '=VALUE'"));
  EXPECT_THAT(load_error<UsageError>("idx:/x?mean=a"), HasSubstr("'a' is not a number"));
  EXPECT_THAT(load_error<UsageError>("idx:/x?std=0"), HasSubstr("above 0"));
  EXPECT_THAT(load_error<UsageError>("idx:/x?validation=-1"), HasSubstr("0 or more"));
  EXPECT_THAT(load_error<UsageError>("idx:/x?flip=yes"), HasSubstr("0 or 1"));
  EXPECT_THAT(load_error<IoError>("idx:/no/such/folder"), HasSubstr("no such folder"));
  const std::string folder = idx_folder().string();
  EXPECT_THAT(load_error<UsageError>("idx:" + folder + "?validation=40"),
              HasSubstr("leaves nothing of 40"));
  EXPECT_THAT(load_error<UsageError>("idx:" + folder + "?mean=0.1,0.2&std=1,1"),
              HasSubstr("1 channels"));
}

TEST(Dataset, NamesTheDamagedFile) {
  const fs::path folder = idx_folder();
  const std::string spec = "idx:" + folder.string();
  write(folder / "t10k-labels-idx1-ubyte", idx({7}));
  EXPECT_THAT(load_error<IoError>(spec), HasSubstr("8 images but 7 labels"));
  write(folder / "t10k-labels-idx1-ubyte", idx({8}).substr(0, 12));
  EXPECT_THAT(load_error<IoError>(spec),
              AllOf(HasSubstr("t10k-labels-idx1-ubyte"), HasSubstr("4 bytes")));
  write(folder / "t10k-labels-idx1-ubyte", idx({8, 1}));
  EXPECT_THAT(load_error<IoError>(spec), HasSubstr("begins with 00 00 08 02"));
  write(folder / "t10k-labels-idx1-ubyte", "x");
  EXPECT_THAT(load_error<IoError>(spec), HasSubstr("too short"));
  fs::remove(folder / "t10k-labels-idx1-ubyte");
  write(folder / "t10k-labels-idx1-ubyte.gz", "no gzip");
  EXPECT_THAT(load_error<IoError>(spec),
              AllOf(HasSubstr("t10k-labels-idx1-ubyte.gz"), HasSubstr("damaged")));
}

TEST(Dataset, TakesTheFirstImages) {
  const Dataset data = load_dataset("idx:" + idx_folder().string(), 1);
  EXPECT_EQ(take(data.test, 3).size(), 3);
  EXPECT_EQ(take(data.test, 0).size(), 8);
  EXPECT_EQ(take(data.test, 99).size(), 8);
}

TEST(Preprocessing, NormalizesEachChannel) {
  const torch::Tensor images = torch::tensor({0, 255, 51, 102}).to(torch::kUInt8);
  const torch::Tensor x =
      normalize(images.view({1, 2, 1, 2}), {.mean = {0.5, 0.2}, .std = {0.25, 0.4}, .source = ""});
  EXPECT_TRUE(torch::allclose(x.flatten(), torch::tensor({-2.0F, 2.0F, 0.0F, 0.5F}), 0, 1e-6));
}

ir::Graph graph_with(const std::map<std::string, std::string>& metadata, ir::Shape input) {
  ir::Graph graph;
  graph.inputs = {graph.add_value({.name = "image", .shape = std::move(input)})};
  graph.metadata = metadata;
  return graph;
}

TEST(Preprocessing, ComesFromDataOptionsThenMetadataThenThePublishedValues) {
  Dataset data = load_dataset("idx:" + idx_folder().string(), 1);
  const ir::Graph plain = graph_with({}, {1, 1, 3, 2});
  const ir::Graph own =
      graph_with({{"tessera.mean", "0.5"}, {"tessera.std", "0.25"}}, {1, 1, 3, 2});
  EXPECT_EQ(choose_preprocessing(own, data).mean, std::vector<double>{0.5});
  EXPECT_EQ(choose_preprocessing(own, data).source, "network metadata");
  EXPECT_THAT(message<UsageError>([&] { choose_preprocessing(plain, data); }), HasSubstr("?mean="));
  data = load_dataset("idx:" + idx_folder().string() + "?mean=0.1&std=0.2", 1);
  EXPECT_EQ(choose_preprocessing(own, data).mean, std::vector<double>{0.1});
}

TEST(Preprocessing, RejectsMetadataThatDoesNotFit) {
  const Dataset data = load_dataset("idx:" + idx_folder().string(), 1);
  const auto error = [&](const std::map<std::string, std::string>& metadata) {
    return message<ImportError>([&] {
      choose_preprocessing(graph_with(metadata, {1, 1, 3, 2}), data);
    });
  };
  EXPECT_THAT(error({{"tessera.mean", "0.5"}}), HasSubstr("only one of"));
  EXPECT_THAT(error({{"tessera.mean", "0.5"}, {"tessera.std", "0"}}), HasSubstr("above 0"));
  EXPECT_THAT(error({{"tessera.mean", "x"}, {"tessera.std", "1"}}), HasSubstr("'x'"));
  EXPECT_THAT(error({{"tessera.mean", "1,2"}, {"tessera.std", "1"}}), HasSubstr("2 values"));
}

TEST(Inputs, ImagesMustFitTheNetwork) {
  Dataset data = load_dataset("idx:" + idx_folder().string(), 1);
  EXPECT_NO_THROW(fit_inputs(graph_with({}, {1, 1, 3, 2}), data));
  EXPECT_TRUE(data.is_images);
  EXPECT_THAT(message<UsageError>([&] {
                fit_inputs(graph_with({}, {1, 3, 32, 32}), data);
              }),
              AllOf(HasSubstr("1x3x2"), HasSubstr("1x3x32x32")));
}

// 10 entries of two inputs, "ids" and "mask", with two labels each.
fs::path npz_of_two_inputs() {
  const fs::path file = testing::temp_folder() / "two.npz";
  NamedTensors arrays;
  for (const std::string part : {"train", "test"}) {
    arrays.emplace_back("mask_" + part, torch::ones({10, 4}, torch::kInt64));
    arrays.emplace_back("ids_" + part, torch::arange(40).view({10, 4}).to(torch::kInt32));
    arrays.emplace_back("y_" + part, torch::arange(20).view({10, 2}) % 4);
  }
  write_npz(file, arrays);
  return file;
}

ir::Graph graph_with_inputs(const std::vector<std::string>& names) {
  ir::Graph graph;
  for (const std::string& name : names)
    graph.inputs.push_back(
        graph.add_value({.name = name, .dtype = ir::DType::kInt64, .shape = ir::Shape{1, 4}}));
  return graph;
}

TEST(Inputs, SeveralAreTakenByName) {
  Dataset data = load_dataset("npz:" + npz_of_two_inputs().string(), 1);
  EXPECT_FALSE(data.is_images);
  EXPECT_EQ(data.input_names, (std::vector<std::string>{"mask", "ids"}));
  fit_inputs(graph_with_inputs({"ids", "mask"}), data);
  EXPECT_EQ(data.test.labels.sizes().vec(), (std::vector<std::int64_t>{10, 2}));
  const Preprocessing none = choose_preprocessing(graph_with_inputs({}), data);
  const std::vector<Tensor> inputs = network_inputs(part_of(data.test, 2, 4), none);
  ASSERT_EQ(inputs.size(), 2U);
  EXPECT_TRUE(torch::equal(inputs[0], torch::arange(8, 16).view({2, 4})));
  EXPECT_TRUE(torch::equal(inputs[1], torch::ones({2, 4}, torch::kInt64)));
  EXPECT_THAT(message<UsageError>([&] { fit_inputs(graph_with_inputs({"ids"}), data); }),
              AllOf(HasSubstr("ids, mask"), HasSubstr("NAME_train")));
  EXPECT_THAT(message<UsageError>([&] {
                fit_inputs(graph_with_inputs({"ids", "mask", "kinds"}), data);
              }),
              HasSubstr("kinds"));
  EXPECT_THAT(load_error<UsageError>("npz:" + npz_of_two_inputs().string() + "?mean=0.5&std=1"),
              HasSubstr("are for images"));
}

TEST(Inputs, OtherNumbersStayAsTheyAre) {
  const fs::path file = testing::temp_folder() / "features.npz";
  const Tensor features = torch::arange(60).view({20, 3}).to(torch::kFloat32) / 7;
  const Tensor labels = torch::arange(20) % 3;
  write_npz(file,
            {{"x_train", features}, {"y_train", labels}, {"x_test", features}, {"y_test", labels}});
  Dataset data = load_dataset("npz:" + file.string(), 1);
  fit_inputs(graph_with({}, {1, 3}), data);
  EXPECT_TRUE(torch::equal(
      network_inputs(data.test, choose_preprocessing(graph_with({}, {1, 3}), data))[0], features));
  EXPECT_THAT(message<UsageError>([&] {
                fit_inputs(graph_with({}, {1, 4}), data);
              }),
              AllOf(HasSubstr("has 3 entries"), HasSubstr("1x4")));
  EXPECT_THAT(message<UsageError>([&] {
                ir::Graph integers = graph_with({}, {1, 3});
                integers.value(integers.inputs[0]).dtype = ir::DType::kInt64;
                fit_inputs(integers, data);
              }),
              HasSubstr("takes int64"));
}

TEST(ClassScores, StandBehindTheBatch) {
  const Tensor outputs = torch::arange(2 * 3 * 4).view({2, 3, 4});
  EXPECT_TRUE(torch::equal(class_scores(outputs, torch::zeros({2, 4})), outputs));
  EXPECT_TRUE(torch::equal(class_scores(outputs, torch::zeros({2, 3})), outputs.transpose(1, 2)));
  EXPECT_TRUE(torch::equal(class_scores(outputs, torch::zeros({2})), outputs.view({2, 12})));
}

Dataset augmented(bool flip, int padding) {
  Dataset data;
  data.horizontal_flip = flip;
  data.crop_padding = padding;
  return data;
}

TEST(Augment, EveryResultIsAWindowOfThePaddedImageOrItsMirror) {
  const Dataset data = augmented(true, 2);
  const torch::Tensor image = (torch::arange(2 * 5 * 6) + 1).to(torch::kFloat32).view({1, 2, 5, 6});
  const torch::Tensor padded = torch::constant_pad_nd(image, {2, 2, 2, 2}, 0);
  std::vector<torch::Tensor> possible;
  for (const torch::Tensor& source : {padded, padded.flip({3})})
    for (int y = 0; y < 5; ++y)
      for (int x = 0; x < 5; ++x)
        possible.push_back(source.slice(2, y, y + 5).slice(3, x, x + 6)[0]);
  Rng rng(3);
  const torch::Tensor results = augment(image.expand({2000, 2, 5, 6}), data, rng);
  std::set<std::size_t> seen;
  for (std::int64_t i = 0; i < results.size(0); ++i) {
    const auto match = std::find_if(possible.begin(), possible.end(), [&](const Tensor& window) {
      return torch::equal(window, results[i]);
    });
    ASSERT_NE(match, possible.end());
    seen.insert(static_cast<std::size_t>(match - possible.begin()));
  }
  // A given window of 50 is missed by 2,000 draws once in 10^17 runs.
  EXPECT_EQ(seen.size(), possible.size());
}

TEST(Augment, DrawsFromItsStreamAlone) {
  const Dataset data = augmented(true, 2);
  const torch::Tensor images = torch::rand({10, 1, 5, 5});
  Rng a(4), b(4), c(5);
  const torch::Tensor first = augment(images, data, a);
  torch::rand({7});
  EXPECT_TRUE(torch::equal(first, augment(images, data, b)));
  EXPECT_FALSE(torch::equal(first, augment(images, data, c)));
}

TEST(Augment, DoesNothingWhereNothingIsAllowed) {
  const torch::Tensor images = torch::rand({4, 1, 5, 5});
  Rng rng(4);
  EXPECT_TRUE(torch::equal(images, augment(images, augmented(false, 0), rng)));
}

TEST(ShuffledBatches, CoverEachImageOnceAndDropTheRest) {
  Rng rng(1);
  const auto batches = shuffled_batches(25, 8, rng, torch::kCPU);
  ASSERT_EQ(batches.size(), 3U);
  const torch::Tensor all = torch::cat(batches);
  EXPECT_EQ(std::get<0>(torch::_unique(all)).size(0), 24);
  EXPECT_FALSE(torch::equal(all, torch::arange(24)));
}

}  // namespace
}  // namespace tessera::nn
