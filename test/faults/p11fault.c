/*
 * p11fault: a PKCS#11 module that forwards to a real one and misbehaves on request, so that a test can
 * drive the daemon through every way in which an HSM can fail, and can see afterwards what it was asked.
 *
 *   P11FAULT_MODULE     absolute path of the real module
 *   P11FAULT_RULES      rule file; absent means no rules. Replace it by rename: a new inode is a new rule set.
 *   P11FAULT_LOG        call log; unset means no recording
 *   P11FAULT_LANE_ROLE  what `lane=` in a rule is compared with
 *
 * A rule is one line: <C_Function|*> key[=value] …
 *   which calls   skip=N count=N pid=P lane=ROLE
 *   before        delay=MS hang=PATH logout closeall abort segv kill9 exit=N
 *   instead       rv=CODE ok maxsessions=N
 *   what is asked hsmiv (or zeroiv) appendiv=BYTES swaphandle
 *   what is told  flip=BIT zerorandom repeatrandom dropfound dupfound serial=TEXT maxsessions=N
 *   afterwards    kill9post, and rv=CODE post: the work is done, then the answer is lost or denied
 * All rules that fit a call apply; of two that set the same thing the upper one wins. `skip` and `count`
 * are counted over all processes that share the rule file: `count=1` is one call of one lane.
 *
 * The log has one line per call, written when the call ends or when a rule is about to end the process:
 *   <ns> <pid> <function> rv=<code|none> us=<duration> [key= with= made= mech= in= user= class= attrs=] [INJECTED]
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

/* ── the functions ───────────────────────────────────────────────────────────────────────────────────────────── */

/*
 * One row per function: where its arguments are, counted from 0; 0 itself (session or slot) means "has none".
 * A length stands right behind its pointer, as the count behind its template. PKCS#11 has no function of more
 * than eight arguments and none wider than a word, so one forwarder of eight words serves them all: on x86-64
 * and aarch64 the words that a function does not take are ignored.
 */
typedef unsigned long word;

struct function {
  const char *name;
  size_t at; /* in CK_FUNCTION_LIST */
  bool sessionless;
  unsigned char mech, key, with, templ, made, in, out, user;
};

#define CRYPT .in = 2, .out = 3    /* session, input, length, output, length* */
#define FINAL .out = 1             /* session, output, length* */
#define START .mech = 1, .key = 2  /* session, mechanism, key */
#define OBJECT .key = 1, .templ = 2

#define FUNCTIONS(F)                                                  \
  F(C_Initialize, .sessionless = true)                                \
  F(C_Finalize, .sessionless = true)                                  \
  F(C_GetInfo, .sessionless = true)                                   \
  F(C_GetSlotList, .sessionless = true)                               \
  F(C_GetSlotInfo, .sessionless = true)                               \
  F(C_GetTokenInfo, .sessionless = true)                              \
  F(C_GetMechanismList, .sessionless = true)                          \
  F(C_GetMechanismInfo, .sessionless = true)                          \
  F(C_InitToken, .sessionless = true)                                 \
  F(C_WaitForSlotEvent, .sessionless = true)                          \
  F(C_OpenSession, .sessionless = true, .made = 4)                    \
  F(C_CloseAllSessions, .sessionless = true)                          \
  F(C_CloseSession, 0)                                                \
  F(C_GetSessionInfo, 0)                                              \
  F(C_GetOperationState, 0)                                           \
  F(C_SetOperationState, 0)                                           \
  F(C_InitPIN, 0)                                                     \
  F(C_SetPIN, 0)                                                      \
  F(C_Login, .user = 1)                                               \
  F(C_Logout, 0)                                                      \
  F(C_CreateObject, .templ = 1, .made = 3)                            \
  F(C_CopyObject, OBJECT, .made = 4)                                  \
  F(C_DestroyObject, .key = 1)                                        \
  F(C_GetObjectSize, .key = 1)                                        \
  F(C_GetAttributeValue, OBJECT)                                      \
  F(C_SetAttributeValue, OBJECT)                                      \
  F(C_FindObjectsInit, .templ = 1)                                    \
  F(C_FindObjects, 0)                                                 \
  F(C_FindObjectsFinal, 0)                                            \
  F(C_EncryptInit, START)                                             \
  F(C_Encrypt, CRYPT)                                                 \
  F(C_EncryptUpdate, CRYPT)                                           \
  F(C_EncryptFinal, FINAL)                                            \
  F(C_DecryptInit, START)                                             \
  F(C_Decrypt, CRYPT)                                                 \
  F(C_DecryptUpdate, CRYPT)                                           \
  F(C_DecryptFinal, FINAL)                                            \
  F(C_DigestInit, .mech = 1)                                          \
  F(C_Digest, CRYPT)                                                  \
  F(C_DigestUpdate, .in = 2)                                          \
  F(C_DigestKey, .key = 1)                                            \
  F(C_DigestFinal, FINAL)                                             \
  F(C_SignInit, START)                                                \
  F(C_Sign, CRYPT)                                                    \
  F(C_SignUpdate, .in = 2)                                            \
  F(C_SignFinal, FINAL)                                               \
  F(C_SignRecoverInit, START)                                         \
  F(C_SignRecover, CRYPT)                                             \
  F(C_VerifyInit, START)                                              \
  F(C_Verify, .in = 2)                                                \
  F(C_VerifyUpdate, .in = 2)                                          \
  F(C_VerifyFinal, .in = 2)                                           \
  F(C_VerifyRecoverInit, START)                                       \
  F(C_VerifyRecover, CRYPT)                                           \
  F(C_DigestEncryptUpdate, CRYPT)                                     \
  F(C_DecryptDigestUpdate, CRYPT)                                     \
  F(C_SignEncryptUpdate, CRYPT)                                       \
  F(C_DecryptVerifyUpdate, CRYPT)                                     \
  F(C_GenerateKey, .mech = 1, .templ = 2, .made = 4)                  \
  F(C_GenerateKeyPair, .mech = 1, .templ = 4, .made = 7)              \
  F(C_WrapKey, .mech = 1, .with = 2, .key = 3, .out = 4)              \
  F(C_UnwrapKey, .mech = 1, .with = 2, .in = 4, .templ = 5, .made = 7) \
  F(C_DeriveKey, .mech = 1, .key = 2, .templ = 3, .made = 5)          \
  F(C_SeedRandom, .in = 2)                                            \
  F(C_GenerateRandom, .in = 2)                                        \
  F(C_GetFunctionStatus, 0)                                           \
  F(C_CancelFunction, 0)

#define ROW(function, ...) \
  [ID_##function] = {.name = #function, .at = offsetof(CK_FUNCTION_LIST, function), __VA_ARGS__},
#define SKIP_ZERO(...) __VA_ARGS__
#define ID(function, ...) ID_##function,
enum function_id { FUNCTIONS(ID) FUNCTION_COUNT };

/* The rows of functions with nothing to say pass a bare 0, which lands on the last designated field's successor. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
