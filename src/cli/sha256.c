#include "sha256.h"

#ifdef HAVE_LIBCRYPTO

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

tawny_status sha256_fd(int fd, char hex[65], tawny_error *err)
{
    enum { PIECE = 1 << 20 };
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    tawny_status st = TAWNY_OK;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    char *piece = malloc(PIECE);
    if (!c || !piece || !EVP_DigestInit_ex(c, EVP_sha256(), NULL)) st = err_nomem(err);
    for (off_t at = 0; st == TAWNY_OK;) {
        ssize_t k = pread(fd, piece, PIECE, at);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) st = err_errno(err, errno, "reading what was fetched");
        if (k <= 0) break;
        EVP_DigestUpdate(c, piece, (size_t)k);
        at += k;
    }
    if (st == TAWNY_OK && (!EVP_DigestFinal_ex(c, digest, &n) || n != 32)) st = err_nomem(err);
    for (unsigned i = 0; st == TAWNY_OK && i < n; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    free(piece);
    EVP_MD_CTX_free(c);
    return st;
}

#else

tawny_status sha256_fd(int fd, char hex[65], tawny_error *err)
{
    (void)fd, (void)hex;
    return err_set(err, TAWNY_E_UNSUPPORTED,
                   "this tawny was built without libcrypto and cannot check what it fetches");
}

#endif
