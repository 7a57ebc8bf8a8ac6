#pragma once
// LibTorch's headers take longer to read than all of this project's code: they are compiled once.
#include <torch/torch.h>
