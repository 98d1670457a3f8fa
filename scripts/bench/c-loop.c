/*
 * How fast plain C drives one key of a token: the yardstick of `npm run bench:kms`. Encryption is what a lane does for
 * one request: 12 bytes of IV from C_GenerateRandom, then AES-GCM over 32 bytes with 64 bytes of associated data.
 *
 *   c-loop <module> <token serial> <file with the PIN> <CKA_LABEL of the key> <seconds per loop>
 *
 * Prints {"encryptPerSecond":…,"decryptPerSecond":…}.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <p11-kit/pkcs11.h>

#define IV_BYTES 12
#define TAG_BYTES 16
#define PLAINTEXT_BYTES 32
#define AAD_BYTES 64

static CK_FUNCTION_LIST *p11;
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE key;

static void fail(const char *what, CK_RV rv) {
  fprintf(stderr, "c-loop: %s (0x%lx)\n", what, rv);
  exit(1);
}

static void check(const char *call, CK_RV rv) {
  if (rv != CKR_OK) fail(call, rv);
}

static void load(const char *path) {
  void *module = dlopen(path, RTLD_NOW);
  CK_C_GetFunctionList get = module ? (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList") : NULL;
  if (!get) fail(dlerror(), 0);
  check("C_GetFunctionList", get(&p11));
  CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
  check("C_Initialize", p11->C_Initialize(&args));
}

static CK_SLOT_ID find_slot(const char *serial) {
  CK_SLOT_ID slots[64];
  CK_ULONG count = 64;
  CK_TOKEN_INFO info;
  check("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, slots, &count));
  for (CK_ULONG i = 0; i < count; i++)
    if (p11->C_GetTokenInfo(slots[i], &info) == CKR_OK && !memcmp(info.serialNumber, serial, strlen(serial)))
      return slots[i];
  fail("no token has this serial", 0);
  return 0;
}

static void login(const char *serial, const char *pin_file) {
  char pin[256] = "";
  FILE *file = fopen(pin_file, "r");
  if (!file || !fgets(pin, sizeof pin, file)) fail("cannot read the PIN file", 0);
  fclose(file);
  pin[strcspn(pin, "\r\n")] = 0;
  CK_FLAGS flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
  check("C_OpenSession", p11->C_OpenSession(find_slot(serial), flags, NULL, NULL, &session));
  check("C_Login", p11->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)));
  explicit_bzero(pin, sizeof pin);
}

static void find_key(char *label) {
  CK_OBJECT_CLASS class = CKO_SECRET_KEY;
  CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, strlen(label)}};
  CK_ULONG found = 0;
  check("C_FindObjectsInit", p11->C_FindObjectsInit(session, template, 2));
  check("C_FindObjects", p11->C_FindObjects(session, &key, 1, &found));
  check("C_FindObjectsFinal", p11->C_FindObjectsFinal(session));
  if (found != 1) fail("no key has this label", 0);
}

static CK_BYTE iv[IV_BYTES], aad[AAD_BYTES], plaintext[PLAINTEXT_BYTES], sealed[PLAINTEXT_BYTES + TAG_BYTES];
static CK_GCM_PARAMS gcm = {iv, IV_BYTES, IV_BYTES * 8, aad, AAD_BYTES, TAG_BYTES * 8};
static CK_MECHANISM aes_gcm = {CKM_AES_GCM, &gcm, sizeof gcm};

static void encrypt(void) {
  CK_ULONG bytes = sizeof sealed;
  check("C_GenerateRandom", p11->C_GenerateRandom(session, iv, sizeof iv));
  check("C_EncryptInit", p11->C_EncryptInit(session, &aes_gcm, key));
  check("C_Encrypt", p11->C_Encrypt(session, plaintext, sizeof plaintext, sealed, &bytes));
}

static void decrypt(void) {
  CK_BYTE opened[sizeof sealed];
  CK_ULONG bytes = sizeof opened;
  check("C_DecryptInit", p11->C_DecryptInit(session, &aes_gcm, key));
  check("C_Decrypt", p11->C_Decrypt(session, sealed, sizeof sealed, opened, &bytes));
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double per_second(void (*work)(void), double seconds) {
  long count = 0;
  double began = now(), spent;
  do {
    for (int i = 0; i < 16; i++, count++) work();
    spent = now() - began;
  } while (spent < seconds);
  return (double)count / spent;
}

int main(int argc, char **argv) {
  if (argc != 6) fail("usage: c-loop <module> <serial> <pin file> <key label> <seconds>", 0);
  load(argv[1]);
  login(argv[2], argv[3]);
  find_key(argv[4]);
  double seconds = atof(argv[5]);
  double encryptions = per_second(encrypt, seconds);
  double decryptions = per_second(decrypt, seconds);
  printf("{\"encryptPerSecond\":%.0f,\"decryptPerSecond\":%.0f}\n", encryptions, decryptions);
  p11->C_Finalize(NULL);
  return 0;
}
