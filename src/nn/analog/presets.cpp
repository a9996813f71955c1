// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tessera/core/error.h"
#include "tessera/core/text.h"
#include "tessera/nn/analog/noise_model.h"

namespace tessera::nn {
namespace {

constexpr double kDaySeconds = 86400;

const std::array<AnalogPreset, 6>& presets() {
  static const std::array<AnalogPreset, 6> all{
      AnalogPreset{
          .name = "pcm-lionheart",
          .summary = "PCM devices of 25 µS, converters as in LionHeart's experiments",
          .source = "aihwkit PCMLikeNoiseModel; LionHeart gen_rpu_config (output noise 0.06, bound "
                    "12, column scaling); trained on the devices' own statistics after one day in "
                    "place of its multiplicative 0.08",
          .noise = make_pcm_model(),
          .output_noise = 0.06,
          .output_bound = 12,
          .column_scaling = true,
          .train_programming_noise = true,
          .train_seconds = kDaySeconds,
      },
      AnalogPreset{
          .name = "pcm-standard",
          .summary = "PCM devices of 25 µS, converters of the standard hardware-aware model",
          .source = "aihwkit PCMLikeNoiseModel; StandardHWATrainingPreset (Rasch 2023) without its "
                    "IR drop and short-term read noise: output noise 0.04, bound 10",
          .noise = make_pcm_model(),
          .output_noise = 0.04,
          .output_bound = 10,
          .column_scaling = true,
          .train_programming_noise = true,
          .train_seconds = kDaySeconds,
      },
      AnalogPreset{
          .name = "pcm-rasch",
          .summary = "the standard hardware-aware model whole, IR drop and read noise included",
          .source =
              "aihwkit StandardHWATrainingPreset (Rasch 2023): output noise 0.04, bound 10, IR "
              "drop 1, PCM read noise 0.0175, no weight modifier in training",
          .noise = make_pcm_model(),
          .output_noise = 0.04,
          .output_bound = 10,
          .ir_drop = 1,
          .read_noise = 0.0175,
          .column_scaling = true,
      },
      AnalogPreset{
          .name = "hermes",
          .summary = "the HERMES chip's devices, two for each polarity",
          .source = "aihwkit HermesNoiseModel (2 devices); converters assumed as in aihwkit's "
                    "StandardIOParameters (output noise 0.04, bound 10): no public fit of the "
                    "chip's own, its MVM error of 1.94 % includes other parts",
          .noise = make_hermes_model(2),
          .output_noise = 0.04,
          .output_bound = 10,
          .column_scaling = true,
          .train_programming_noise = true,
          .train_seconds = kDaySeconds,
      },
      AnalogPreset{
          .name = "diana",
          .summary = "SRAM cells of three levels, as in DIANA: converters and ternary weights",
          .source =
              "ODiMO's model of DIANA (Risso 2023): ternary weights, activations of the DAC's "
              "width, no noise; the ADC's full scale is assumed, a sixteenth of a column's",
          .noise = make_ideal_model(),
          .output_noise = 0,
          .output_bound = 72,
          .column_scaling = true,
          .weight_bits = 2,
      },
      AnalogPreset{
          .name = "ideal",
          .summary = "no noise and no drift: the converters alone",
          .source = "for comparison",
          .noise = make_ideal_model(),
          .output_noise = 0,
          .output_bound = 12,
          .column_scaling = true,
      },
  };
  return all;
}

}  // namespace

const AnalogPreset& analog_preset(std::string_view name) {
  for (const AnalogPreset& preset : presets()) {
    if (preset.name == name)
      return preset;
  }
  throw ConfigError(unknown_name("analog preset", name, analog_preset_names()));
}

std::vector<std::string> analog_preset_names() {
  std::vector<std::string> names;
  for (const AnalogPreset& preset : presets())
    names.push_back(preset.name);
  return names;
}

}  // namespace tessera::nn
