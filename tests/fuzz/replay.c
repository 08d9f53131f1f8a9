/* Replays inputs through a fuzz target without a fuzzer:
 *     build/tests/fuzz/NAME [-m] FILE-OR-FOLDER ...
 * A target is a file tests/fuzz/NAME.c with LLVMFuzzerTestOneInput, as libFuzzer knows it; its corpus is
 * tests/fuzz/corpus/NAME. With -m each input also goes in cut at every of 64 places and with 256 single
 * bytes changed, by a generator with a fixed seed: the same inputs on every machine. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long inputs;

/* Each input lies in an allocation of exactly its size, so that AddressSanitizer sees a read past its end. */
static void one(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) exit(1);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    inputs++;
}

static void mutate(uint8_t *data, size_t size)
{
    uint64_t r = 88172645463325252u; /* xorshift64, Marsaglia 2003 */
    for (size_t i = 0; i < 64 && size > 0; i++) one(data, size * i / 64);
    for (int i = 0; i < 256 && size > 0; i++) {
        r ^= r << 13, r ^= r >> 7, r ^= r << 17;
        size_t at = (size_t)(r >> 8) % size;
        uint8_t was = data[at];
        data[at] = (uint8_t)r;
        one(data, size);
        data[at] = was;
    }
}

static int replay(const char *path, int mutations)
{
    struct stat s;
    if (stat(path, &s) != 0) return perror(path), 1;
    if (S_ISDIR(s.st_mode)) {
        DIR *d = opendir(path);
        if (!d) return perror(path), 1;
        int failed = 0;
        for (struct dirent *e; (e = readdir(d)) != NULL;) {
            char name[4096];
            if (e->d_name[0] == '.') continue;
            snprintf(name, sizeof name, "%s/%s", path, e->d_name);
            failed |= replay(name, mutations);
        }
        closedir(d);
        return failed;
    }
    FILE *f = fopen(path, "rb");
    size_t size = (size_t)s.st_size;
    uint8_t *data = malloc(size ? size : 1);
    int failed = !f || !data || fread(data, 1, size, f) != size;
    if (failed) perror(path);
    if (f) fclose(f);
    if (!failed) {
        one(data, size);
        if (mutations) mutate(data, size);
    }
    free(data);
    return failed;
}

int main(int argc, char **argv)
{
    int mutations = argc > 1 && strcmp(argv[1], "-m") == 0, failed = 0;
    for (int i = 1 + mutations; i < argc; i++) failed |= replay(argv[i], mutations);
    printf("%s: %lu inputs\n", argv[0], inputs);
    return failed;
}
