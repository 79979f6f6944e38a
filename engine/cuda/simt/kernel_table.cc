// The kernels, built for the emulator by the compiler of the host.
#include "engine/cuda/kernels/kernel_table.cu"
