#pragma once
// What networks are made of, and gradients: of <torch/torch.h>, which also reads data sets, optimisers and all kinds of
// layers, the parts that this project uses.
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
