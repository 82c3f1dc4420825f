/* The baked model that QUIESCENT_BAKED named when libmodel.a was built. One thread at a time. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Checks the artifact and takes the arena into use. Once, before the first frame; false: an artifact this library does not run. */
bool model_load(void);

/* A frame of NAME_INPUT_H * NAME_INPUT_W * NAME_INPUT_C bytes, compared with the one before. Writes the values of all outputs, in ONNX order, and
 * returns how many; 0: not loaded, or there are more than `room`. */
size_t model_step(const uint8_t *frame, float *values, size_t room);

#ifdef __cplusplus
}
#endif

#endif
