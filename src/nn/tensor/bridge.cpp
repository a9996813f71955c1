// SPDX-License-Identifier: Apache-2.0
#include "tessera/nn/tensor/bridge.h"

namespace tessera::nn {

torch::ScalarType torch_type(ir::DType dtype) {
  switch (dtype) {
    case ir::DType::kFloat32:
      return torch::kFloat32;
    case ir::DType::kFloat16:
      return torch::kFloat16;
    case ir::DType::kInt8:
      return torch::kInt8;
    case ir::DType::kUint8:
      return torch::kUInt8;
    case ir::DType::kInt16:
      return torch::kInt16;
    case ir::DType::kInt32:
      return torch::kInt32;
    case ir::DType::kInt64:
      return torch::kInt64;
    case ir::DType::kBool:
      return torch::kBool;
  }
  TESSERA_CHECK(false, "dtype {}", static_cast<int>(dtype));
}

namespace {

ir::DType dtype_of(torch::ScalarType type) {
  for (const ir::DType dtype :
       {ir::DType::kFloat32, ir::DType::kFloat16, ir::DType::kInt8, ir::DType::kUint8,
        ir::DType::kInt16, ir::DType::kInt32, ir::DType::kInt64, ir::DType::kBool}) {
    if (torch_type(dtype) == type)
      return dtype;
  }
  TESSERA_CHECK(false, "no ir::DType for {}", torch::toString(type));
}

}  // namespace

torch::Tensor to_torch(const ir::Tensor& tensor, torch::Device device) {
  torch::Tensor result = torch::empty(tensor.shape(), torch_type(tensor.dtype()));
  tensor.copy_to({static_cast<std::byte*>(result.data_ptr()), result.nbytes()});
  return result.to(device);
}

ir::Tensor from_torch(const torch::Tensor& tensor) {
  const torch::Tensor host = tensor.detach().to(torch::kCPU).contiguous();
  const auto* begin = static_cast<const std::byte*>(host.data_ptr());
  return ir::Tensor(dtype_of(host.scalar_type()), host.sizes().vec(),
                    std::vector<std::byte>(begin, begin + host.nbytes()));
}

}  // namespace tessera::nn
