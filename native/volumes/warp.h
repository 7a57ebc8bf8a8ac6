// Deforming a volume by a displacement field, and telling whether a field folds space.
#pragma once

#include "tensor.h"

namespace transfer_limits::volumes {

// Pulls `volume` [D, H, W] back through x -> x + u(x): the output at x is the volume at x + u(x), trilinear, positions
// beyond the outermost centres taking the edge's value. `field` [3, D, H, W] is u in voxels, its components in the order
// of the axes (d, h, w). A field of zeros gives the volume itself, to the bit.
at::Tensor warp(const at::Tensor& volume, const at::Tensor& field);

// A lower bound of the Jacobian determinant of x -> x + u(x) over the whole volume, between voxel centres too, with
// `field` as for `warp`, interpolated trilinearly: above 0, the map nowhere folds.
//
// Within a cell of 2 x 2 x 2 centres the determinant is a polynomial of degree 2 along each axis. Its 27 Bernstein
// coefficients are averages of determinants of the cell's edges; it never falls below the smallest, and at the corners,
// which are the one-sided differences at the voxels, it equals one. Fields along one axis and linear fields attain the
// bound: there it is the minimum. An axis of one voxel counts as undeformed along itself.
double jacobian_minimum(const at::Tensor& field);

}  // namespace transfer_limits::volumes
