/* Frames from standard input, all outputs of each to standard output. */
#include <stdio.h>

#include "model.h"
#include "patrol.h"

static uint8_t frame[PATROL_INPUT_H * PATROL_INPUT_W * PATROL_INPUT_C];
static float values[1 << 16];

int main(void) {
    if (!model_load()) return 1;
    while (fread(frame, 1, sizeof frame, stdin) == sizeof frame) {
        size_t n = model_step(frame, values, sizeof values / sizeof *values);
        if (n == 0 || fwrite(values, sizeof *values, n, stdout) != n) return 1;
    }
    return 0;
}
