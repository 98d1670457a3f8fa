/*
 * p11fault: a PKCS#11 module that forwards to a real one and misbehaves on request, so that a test can
 * drive the daemon through every way in which an HSM can fail, and can see afterwards what it was asked.
 *
 *   P11FAULT_MODULE     absolute path of the real module
 *   P11FAULT_RULES      rule file; absent means no rules. Replace it by rename: a new inode is a new rule set.
 *   P11FAULT_LOG        call log; unset means no recording
 *   P11FAULT_LANE_ROLE  the name that `lane=` in a rule is compared with; unset means the last word of our command line,
 *                       where a lane of the daemon has its name: `lane=hot` is every hot lane, `lane=hot-2` one of them
 *
 * A rule is one line: <C_Function|*> key[=value] …
 *   which calls   skip=N count=N pid=P lane=ROLE
 *   before        delay=MS hang=PATH logout closeall abort segv kill9 exit=N
 *   instead       rv=CODE ok maxsessions=N
 *   what is asked hsmiv (or zeroiv) appendiv=BYTES swaphandle
 *   what is told  flip=BIT short=BYTES zerorandom repeatrandom dropfound dupfound serial=TEXT maxsessions=N
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
#define OBJECT .key = 1, .templ = 2 /* session, object, template, count */

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
  F(C_CloseSession)                                                   \
  F(C_GetSessionInfo)                                                 \
  F(C_GetOperationState)                                              \
  F(C_SetOperationState)                                              \
  F(C_InitPIN)                                                        \
  F(C_SetPIN)                                                         \
  F(C_Login, .user = 1)                                               \
  F(C_Logout)                                                         \
  F(C_CreateObject, .templ = 1, .made = 3)                            \
  F(C_CopyObject, OBJECT, .made = 4)                                  \
  F(C_DestroyObject, .key = 1)                                        \
  F(C_GetObjectSize, .key = 1)                                        \
  F(C_GetAttributeValue, OBJECT)                                      \
  F(C_SetAttributeValue, OBJECT)                                      \
  F(C_FindObjectsInit, .templ = 1)                                    \
  F(C_FindObjects)                                                    \
  F(C_FindObjectsFinal)                                               \
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
  F(C_GetFunctionStatus)                                              \
  F(C_CancelFunction)   

#define ID(function, ...) ID_##function,
enum function_id { FUNCTIONS(ID) FUNCTION_COUNT };

#define ROW(function, ...) \
  [ID_##function] = {.name = #function, .at = offsetof(CK_FUNCTION_LIST, function), ##__VA_ARGS__},
static const struct function ROWS[] = {FUNCTIONS(ROW)};

static CK_FUNCTION_LIST *real;

static CK_RV forward(enum function_id id, const word a[8]) {
  typedef CK_RV (*any)(word, word, word, word, word, word, word, word);
  any function = *(any *)((char *)real + ROWS[id].at);
  return function(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
}

/* ── the rules ───────────────────────────────────────────────────────────────────────────────────────────────── */

/* What is to happen to one call: a bit per action, and the values of those that have one. */
struct fault {
  uint64_t actions;
  unsigned long rv, exit_code, flip_bit, missing_bytes, appended_iv_bytes, max_sessions;
  double delay_ms;
  char hang[256], serial[32];
};

enum action {
  RV, POST, DELAY, HANG, ABORT, SEGV, KILL9, KILL9POST, EXIT, OK, FLIP, SHORT, HSMIV, APPENDIV,
  ZERORANDOM, REPEATRANDOM, SWAPHANDLE, DROPFOUND, DUPFOUND, LOGOUT, CLOSEALL, SERIAL, MAXSESSIONS,
};
enum value { NONE, NUMBER, MILLISECONDS, TEXT };

#define FIELD(member) offsetof(struct fault, member), sizeof(((struct fault *)0)->member)
static const struct {
  const char *name;
  enum action action;
  enum value value;
  size_t at, size;
} ACTIONS[] = {
    {"rv", RV, NUMBER, FIELD(rv)},
    {"post", POST},
    {"delay", DELAY, MILLISECONDS, FIELD(delay_ms)},
    {"hang", HANG, TEXT, FIELD(hang)},
    {"abort", ABORT},
    {"segv", SEGV},
    {"kill9", KILL9},
    {"kill9post", KILL9POST},
    {"exit", EXIT, NUMBER, FIELD(exit_code)},
    {"ok", OK},
    {"flip", FLIP, NUMBER, FIELD(flip_bit)},
    {"short", SHORT, NUMBER, FIELD(missing_bytes)},
    {"hsmiv", HSMIV},
    {"zeroiv", HSMIV},
    {"appendiv", APPENDIV, NUMBER, FIELD(appended_iv_bytes)},
    {"zerorandom", ZERORANDOM},
    {"repeatrandom", REPEATRANDOM},
    {"swaphandle", SWAPHANDLE},
    {"dropfound", DROPFOUND},
    {"dupfound", DUPFOUND},
    {"logout", LOGOUT},
    {"closeall", CLOSEALL},
    {"serial", SERIAL, TEXT, FIELD(serial)},
    {"maxsessions", MAXSESSIONS, NUMBER, FIELD(max_sessions)},
};
#define ACTION_ROWS (sizeof ACTIONS / sizeof *ACTIONS)

#define EVERY_FUNCTION (-1)
struct rule {
  int function;
  unsigned long skip, count;
  pid_t pid; /* 0: any */
  char lane[32]; /* empty: any */
  struct fault fault;
};

#define MAX_RULES 128
#define MAX_RULE_FILE 65536
static struct {
  pthread_mutex_t lock;
  const char *path;
  char lane[256];
  struct stat seen; /* which file `rules` was read from; st_ino 0: none */
  struct rule rules[MAX_RULES];
  int length;
  atomic_ulong *met; /* per rule, how many calls it has met: shared memory of all processes that read this file */
} book = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void complain(const char *what, const char *about) {
  fprintf(stderr, "p11fault: %s: %s\n", what, about);
}

static int function_named(const char *name) {
  for (int i = 0; i < FUNCTION_COUNT; i++)
    if (!strcmp(ROWS[i].name, name)) return i;
  return -2;
}

static bool read_action(struct fault *fault, const char *name, const char *value) {
  for (size_t i = 0; i < ACTION_ROWS; i++) {
    if (strcmp(ACTIONS[i].name, name)) continue;
    char *field = (char *)fault + ACTIONS[i].at;
    if (ACTIONS[i].value == NUMBER) *(unsigned long *)field = strtoul(value, NULL, 0);
    if (ACTIONS[i].value == MILLISECONDS) *(double *)field = strtod(value, NULL);
    if (ACTIONS[i].value == TEXT) snprintf(field, ACTIONS[i].size, "%s", value);
    fault->actions |= 1ull << ACTIONS[i].action;
    return true;
  }
  return false;
}

static bool read_rule(char *line, struct rule *rule) {
  char *rest, *token = strtok_r(line, " \t", &rest);
  if (!token || *token == '#') return false;
  *rule = (struct rule){.count = ~0ul, .function = strcmp(token, "*") ? function_named(token) : EVERY_FUNCTION};
  if (rule->function < EVERY_FUNCTION) return complain("no such function", token), false;
  while ((token = strtok_r(NULL, " \t", &rest))) {
    char *value = strchr(token, '=');
    if (value) *value++ = 0;
    else value = "";
    if (!strcmp(token, "skip")) rule->skip = strtoul(value, NULL, 0);
    else if (!strcmp(token, "count")) rule->count = strtoul(value, NULL, 0);
    else if (!strcmp(token, "pid")) rule->pid = (pid_t)strtol(value, NULL, 0);
    else if (!strcmp(token, "lane")) snprintf(rule->lane, sizeof rule->lane, "%s", value);
    else if (!read_action(&rule->fault, token, value)) return complain("no such action", token), false;
  }
  return true;
}

/* The counters of a rule file lie beside it, named after its inode and time, so that a new file starts at nought. */
static void share_counters(const struct stat *file) {
  if (book.met) munmap(book.met, MAX_RULES * sizeof *book.met);
  char path[4096];
  snprintf(path, sizeof path, "%s.met-%lu-%ld.%09ld", book.path, (unsigned long)file->st_ino,
           (long)file->st_mtim.tv_sec, file->st_mtim.tv_nsec);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  void *shared = MAP_FAILED;
  if (fd >= 0 && !ftruncate(fd, MAX_RULES * sizeof *book.met))
    shared = mmap(NULL, MAX_RULES * sizeof *book.met, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd >= 0) close(fd);
  if (shared == MAP_FAILED) complain("cannot share counters", path), abort();
  book.met = shared;
}

static void read_rules(void) {
  static char text[MAX_RULE_FILE];
  book.length = 0;
  book.seen = (struct stat){0};
  int fd = open(book.path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t bytes = read(fd, text, sizeof text - 1);
  fstat(fd, &book.seen);
  close(fd);
  text[bytes > 0 ? bytes : 0] = 0;
  char *rest, *line = strtok_r(text, "\n", &rest);
  for (; line && book.length < MAX_RULES; line = strtok_r(NULL, "\n", &rest))
    if (read_rule(line, &book.rules[book.length])) book.length++;
  share_counters(&book.seen);
}

static bool same_file(const struct stat *a, const struct stat *b) {
  return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
         a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Adds what `rule` does to `fault`, except where an upper rule has spoken already. */
static void add(struct fault *fault, const struct fault *rule) {
  for (size_t i = 0; i < ACTION_ROWS; i++) {
    uint64_t bit = 1ull << ACTIONS[i].action;
    if (!(rule->actions & bit) || (fault->actions & bit)) continue;
    memcpy((char *)fault + ACTIONS[i].at, (const char *)rule + ACTIONS[i].at, ACTIONS[i].size);
  }
  fault->actions |= rule->actions;
}

static bool is_lane(const char *name) {
  size_t length = strlen(name);
  return !strncmp(book.lane, name, length) && (book.lane[length] == 0 || book.lane[length] == '-');
}

static void find_fault(enum function_id id, struct fault *fault) {
  fault->actions = 0;
  if (!book.path) return;
  struct stat now = {0};
  if (stat(book.path, &now)) now.st_ino = 0;
  pthread_mutex_lock(&book.lock);
  if (now.st_ino == 0) book.length = 0, book.seen = now;
  else if (!same_file(&now, &book.seen)) read_rules();
  for (int i = 0; i < book.length; i++) {
    const struct rule *rule = &book.rules[i];
    if (rule->function != EVERY_FUNCTION && rule->function != (int)id) continue;
    if (rule->pid && rule->pid != getpid()) continue;
    if (*rule->lane && !is_lane(rule->lane)) continue;
    unsigned long met = atomic_fetch_add(&book.met[i], 1);
    if (met >= rule->skip && met - rule->skip < rule->count) add(fault, &rule->fault);
  }
  pthread_mutex_unlock(&book.lock);
}

/* ── the recorder ────────────────────────────────────────────────────────────────────────────────────────────── */

static int log_fd = -1;

/* One call under way: what it was asked, what shall happen to it, and whether anything did. */
struct call {
  enum function_id id;
  const struct function *row;
  word a[8];
  struct fault fault;
  bool injected;
  struct timespec began, began_steady;
};

static bool does(const struct call *call, enum action action) {
  return call->fault.actions >> action & 1;
}

struct line {
  char text[4096];
  size_t length;
};
__attribute__((format(printf, 2, 3))) static void say(struct line *line, const char *format, ...) {
  va_list values;
  va_start(values, format);
  size_t room = sizeof line->text - line->length;
  int wanted = vsnprintf(line->text + line->length, room, format, values);
  va_end(values);
  if (wanted > 0) line->length += (size_t)wanted < room ? (size_t)wanted : room - 1;
}

static void say_template(struct line *line, const CK_ATTRIBUTE *attributes, CK_ULONG count) {
  for (CK_ULONG i = 0; attributes && i < count; i++)
    if (attributes[i].type == CKA_CLASS && attributes[i].pValue && attributes[i].ulValueLen == sizeof(CK_ULONG))
      say(line, " class=%lu", *(CK_ULONG *)attributes[i].pValue);
  for (CK_ULONG i = 0; attributes && i < count; i++)
    say(line, "%s0x%lx", i ? "," : " attrs=", attributes[i].type); /* types only, never values */
}

/* Appends the call to the log in one write, so that lines of several processes do not mix. */
static void record(const struct call *call, const CK_RV *rv) {
  if (log_fd < 0) return;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double us = (double)(now.tv_sec - call->began_steady.tv_sec) * 1e6 +
              (double)(now.tv_nsec - call->began_steady.tv_nsec) / 1e3;
  const struct function *row = call->row;
  const word *a = call->a;
  struct line line = {.length = 0};
  say(&line, "%lld%09ld %d %s", (long long)call->began.tv_sec, call->began.tv_nsec, getpid(), row->name);
  if (rv) say(&line, " rv=0x%lx us=%.1f", *rv, us);
  else say(&line, " rv=none us=%.1f", us);
  if (row->key) say(&line, " key=%lu", a[row->key]);
  if (row->with) say(&line, " with=%lu", a[row->with]);
  if (row->made && rv && *rv == CKR_OK && a[row->made]) say(&line, " made=%lu", *(CK_ULONG *)a[row->made]);
  if (row->mech && a[row->mech]) say(&line, " mech=0x%lx", ((CK_MECHANISM *)a[row->mech])->mechanism);
  if (row->in) say(&line, " in=%lu", a[row->in]);
  if (row->user) say(&line, " user=%lu", a[row->user]); /* the type of user; the PIN stands nowhere */
  if (row->templ) say_template(&line, (CK_ATTRIBUTE *)a[row->templ], a[row->templ + 1]);
  if (call->injected) say(&line, " INJECTED");
  say(&line, "\n");
  if (write(log_fd, line.text, line.length) < 0) complain("cannot record", strerror(errno));
}

/* ── what happens before the call ────────────────────────────────────────────────────────────────────────────── */

static void sleep_ms(double ms) {
  struct timespec left = {.tv_sec = (time_t)(ms / 1e3)};
  left.tv_nsec = (long)((ms - (double)left.tv_sec * 1e3) * 1e6);
  while (nanosleep(&left, &left) && errno == EINTR) {
  }
}

static void hang_while(const char *path) {
  while (!access(path, F_OK)) sleep_ms(2);
}

static void end_process(struct call *call, int signal_number) {
  call->injected = true;
  record(call, NULL);
  struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  signal(signal_number, SIG_DFL); /* SIGKILL cannot be set and need not */
  if (signal_number == SIGABRT) abort();
  kill(getpid(), signal_number);
  for (;;) pause();
}

static atomic_long open_sessions;

static void log_out_first(struct call *call) {
  if (call->row->sessionless) return;
  call->injected = true;
  real->C_Logout(call->a[0]);
}

static void close_all_first(struct call *call) {
  CK_SESSION_INFO info;
  if (call->row->sessionless || real->C_GetSessionInfo(call->a[0], &info) != CKR_OK) return;
  call->injected = true;
  if (real->C_CloseAllSessions(info.slotID) == CKR_OK) open_sessions = 0;
}

static void before(struct call *call) {
  const struct fault *fault = &call->fault;
  if (does(call, DELAY)) call->injected = true, sleep_ms(fault->delay_ms);
  if (does(call, HANG)) call->injected = true, hang_while(fault->hang);
  if (does(call, LOGOUT)) log_out_first(call);
  if (does(call, CLOSEALL)) close_all_first(call);
  if (does(call, ABORT)) end_process(call, SIGABRT);
  if (does(call, SEGV)) end_process(call, SIGSEGV);
  if (does(call, KILL9)) end_process(call, SIGKILL);
  if (does(call, EXIT)) call->injected = true, record(call, NULL), exit((int)fault->exit_code);
}

/* ── what is asked of the real module ────────────────────────────────────────────────────────────────────────── */

/* The two keys last used, so that a call can be given the other one. */
static pthread_mutex_t keys_lock = PTHREAD_MUTEX_INITIALIZER;
static word recent_keys[2];

static void remember_or_swap_key(struct call *call) {
  if (!call->row->mech || !call->row->key) return;
  word *key = &call->a[call->row->key], asked = *key;
  pthread_mutex_lock(&keys_lock);
  word other = recent_keys[0] == asked ? recent_keys[1] : recent_keys[0];
  if (recent_keys[0] != asked) recent_keys[1] = recent_keys[0], recent_keys[0] = asked;
  pthread_mutex_unlock(&keys_lock);
  if (does(call, SWAPHANDLE) && other) *key = other, call->injected = true;
}

static CK_GCM_PARAMS *gcm_of(const struct call *call) {
  const CK_MECHANISM *mechanism = (const CK_MECHANISM *)call->a[1];
  bool gcm = call->id == ID_C_EncryptInit && mechanism && mechanism->mechanism == CKM_AES_GCM;
  return gcm ? mechanism->pParameter : NULL;
}

/* AWS CloudHSM: the caller's IV must be nought, and the HSM writes its own into it. */
static CK_RV write_iv(struct call *call) {
  CK_GCM_PARAMS *gcm = gcm_of(call);
  if (!gcm) return CKR_OK;
  call->injected = true;
  for (CK_ULONG i = 0; i < gcm->ulIvLen; i++)
    if (gcm->pIv[i]) return CKR_MECHANISM_PARAM_INVALID;
  return getrandom(gcm->pIv, gcm->ulIvLen, 0) == (ssize_t)gcm->ulIvLen ? CKR_OK : CKR_FUNCTION_FAILED;
}

/* Luna: the HSM chooses the IV and appends it to the output. Which session owes which IV is remembered here. */
#define MAX_OWED 256
#define MAX_IV 16
static pthread_mutex_t owed_lock = PTHREAD_MUTEX_INITIALIZER;
static struct owed {
  word session;
  CK_ULONG bytes; /* 0: this place is free */
  CK_BYTE iv[MAX_IV];
} owed[MAX_OWED];
static atomic_int owed_count;

static struct owed *owed_by(word session) {
  for (int i = 0; i < MAX_OWED; i++)
    if (owed[i].bytes && owed[i].session == session) return &owed[i];
  return NULL;
}

static void owe(word session, const CK_BYTE *iv, CK_ULONG bytes) {
  pthread_mutex_lock(&owed_lock);
  struct owed *place = owed_by(session);
  for (int i = 0; !place && i < MAX_OWED; i++)
    if (!owed[i].bytes) place = &owed[i], owed_count++;
  if (!place) complain("too many sessions", "appendiv"), abort();
  place->session = session;
  place->bytes = bytes;
  memcpy(place->iv, iv, bytes);
  pthread_mutex_unlock(&owed_lock);
}

static CK_RV init_with_own_iv(struct call *call, const CK_GCM_PARAMS *asked) {
  CK_ULONG bytes = call->fault.appended_iv_bytes ? call->fault.appended_iv_bytes : 12;
  CK_BYTE iv[MAX_IV];
  if (bytes > MAX_IV || getrandom(iv, bytes, 0) != (ssize_t)bytes) return CKR_FUNCTION_FAILED;
  CK_GCM_PARAMS params = *asked;
  params.pIv = iv;
  params.ulIvLen = bytes;
  params.ulIvBits = bytes * 8;
  CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof params};
  call->injected = true;
  CK_RV rv = real->C_EncryptInit(call->a[0], &mechanism, call->a[2]);
  if (rv == CKR_OK) owe(call->a[0], iv, bytes);
  return rv;
}

static CK_RV encrypt_and_append(struct call *call, const struct owed *debt) {
  CK_BYTE *output = (CK_BYTE *)call->a[3];
  CK_ULONG *bytes = (CK_ULONG *)call->a[4];
  if (output) *bytes = *bytes > debt->bytes ? *bytes - debt->bytes : 0;
  CK_RV rv = forward(call->id, call->a);
  if (rv == CKR_OK && output) memcpy(output + *bytes, debt->iv, debt->bytes);
  if (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL) *bytes += debt->bytes;
  bool goes_on = rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && !output);
  pthread_mutex_lock(&owed_lock);
  struct owed *place = goes_on ? NULL : owed_by(call->a[0]);
  if (place) place->bytes = 0, owed_count--;
  pthread_mutex_unlock(&owed_lock);
  call->injected = true;
  return rv;
}

/* The call itself, with what the rules change in its arguments. */
static CK_RV ask(struct call *call) {
  remember_or_swap_key(call);
  if (does(call, HSMIV)) {
    CK_RV rv = write_iv(call);
    if (rv != CKR_OK) return rv;
  }
  if (does(call, APPENDIV) && gcm_of(call)) return init_with_own_iv(call, gcm_of(call));
  if (owed_count && call->id == ID_C_Encrypt) {
    pthread_mutex_lock(&owed_lock);
    struct owed *place = owed_by(call->a[0]), debt = place ? *place : (struct owed){0};
    pthread_mutex_unlock(&owed_lock);
    if (debt.bytes) return encrypt_and_append(call, &debt);
  }
  return forward(call->id, call->a);
}

/* ── what is told of the answer ──────────────────────────────────────────────────────────────────────────────── */

static void flip_a_bit(struct call *call) {
  word out = call->id == ID_C_GenerateRandom ? 1 : call->row->out;
  if (!out || !call->a[out]) return; /* no output, or only its length was asked for */
  CK_BYTE *bytes = (CK_BYTE *)call->a[out];
  CK_ULONG length = call->id == ID_C_GenerateRandom ? call->a[2] : *(CK_ULONG *)call->a[out + 1];
  if (!length) return;
  unsigned long bit = call->fault.flip_bit % (length * 8);
  bytes[bit / 8] ^= (CK_BYTE)(1u << bit % 8);
  call->injected = true;
}

static void shorten(struct call *call) {
  word out = call->row->out;
  if (!out || !call->a[out]) return;
  CK_ULONG *length = (CK_ULONG *)call->a[out + 1];
  *length -= call->fault.missing_bytes < *length ? call->fault.missing_bytes : *length;
  call->injected = true;
}

static void spoil_random(struct call *call) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static CK_BYTE first[4096];
  static CK_ULONG kept;
  if (call->id != ID_C_GenerateRandom || !call->a[1]) return;
  CK_BYTE *bytes = (CK_BYTE *)call->a[1];
  call->injected = true;
  if (does(call, ZERORANDOM)) memset(bytes, 0, call->a[2]);
  if (!does(call, REPEATRANDOM)) return;
  pthread_mutex_lock(&lock);
  CK_ULONG length = call->a[2] < sizeof first ? call->a[2] : sizeof first;
  if (length > kept) memcpy(first + kept, bytes + kept, length - kept), kept = length;
  memcpy(bytes, first, length);
  pthread_mutex_unlock(&lock);
}

static void spoil_found(struct call *call) {
  if (call->id != ID_C_FindObjects) return;
  CK_OBJECT_HANDLE *found = (CK_OBJECT_HANDLE *)call->a[1];
  CK_ULONG *count = (CK_ULONG *)call->a[3];
  if (*count == 0) return;
  call->injected = true;
  if (does(call, DROPFOUND)) *count = 0;
  else if (*count < call->a[2]) found[*count] = found[0], ++*count;
  else if (*count > 1) found[*count - 1] = found[0];
}

static void spoil_token_info(struct call *call) {
  if (call->id != ID_C_GetTokenInfo || !call->a[1]) return;
  CK_TOKEN_INFO *info = (CK_TOKEN_INFO *)call->a[1];
  call->injected = true;
  if (does(call, MAXSESSIONS)) info->ulMaxSessionCount = info->ulMaxRwSessionCount = call->fault.max_sessions;
  if (!does(call, SERIAL)) return;
  memset(info->serialNumber, ' ', sizeof info->serialNumber);
  size_t length = strlen(call->fault.serial);
  memcpy(info->serialNumber, call->fault.serial,
         length < sizeof info->serialNumber ? length : sizeof info->serialNumber);
}

static void after(struct call *call) {
  if (does(call, FLIP)) flip_a_bit(call);
  if (does(call, SHORT)) shorten(call);
  if (does(call, ZERORANDOM) || does(call, REPEATRANDOM)) spoil_random(call);
  if (does(call, DROPFOUND) || does(call, DUPFOUND)) spoil_found(call);
  if (does(call, SERIAL) || does(call, MAXSESSIONS)) spoil_token_info(call);
}

/* ── one call ────────────────────────────────────────────────────────────────────────────────────────────────── */

static void count_sessions(const struct call *call) {
  if (call->id == ID_C_OpenSession) open_sessions++;
  if (call->id == ID_C_CloseSession) open_sessions--;
  if (call->id == ID_C_CloseAllSessions || call->id == ID_C_Finalize) open_sessions = 0;
}

/* The answer that a rule gives without asking the real module; false when it has to be asked. */
static bool answered_instead(struct call *call, CK_RV *rv) {
  bool full = does(call, MAXSESSIONS) && call->id == ID_C_OpenSession &&
              (unsigned long)open_sessions >= call->fault.max_sessions;
  if (full) *rv = CKR_SESSION_COUNT;
  else if (does(call, OK)) *rv = CKR_OK;
  else if (does(call, RV) && !does(call, POST)) *rv = call->fault.rv;
  else return false;
  return call->injected = true;
}

static CK_RV serve(enum function_id id, const word a[8]) {
  struct call call = {.id = id, .row = &ROWS[id]};
  memcpy(call.a, a, sizeof call.a);
  if (log_fd >= 0) {
    clock_gettime(CLOCK_REALTIME, &call.began);
    clock_gettime(CLOCK_MONOTONIC, &call.began_steady);
  }
  find_fault(id, &call.fault);
  before(&call);
  CK_RV rv;
  if (!answered_instead(&call, &rv)) {
    rv = ask(&call);
    if (rv == CKR_OK) count_sessions(&call), after(&call);
    if (does(&call, KILL9POST)) end_process(&call, SIGKILL);
    if (does(&call, RV) && does(&call, POST)) rv = call.fault.rv, call.injected = true;
  }
  record(&call, &rv);
  return rv;
}

/* ── the module ──────────────────────────────────────────────────────────────────────────────────────────────── */

#define FORWARDER(function, ...)                                                                 \
  static CK_RV on_##function(word a, word b, word c, word d, word e, word f, word g, word h) { \
    return serve(ID_##function, (const word[8]){a, b, c, d, e, f, g, h});                        \
  }
FUNCTIONS(FORWARDER)

static CK_FUNCTION_LIST ours;
#define INSTALL(function, ...) ours.function = (CK_##function)(void *)on_##function;

static void name_lane(void) {
  const char *name = getenv("P11FAULT_LANE_ROLE");
  char words[8192] = "";
  int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  ssize_t bytes = fd < 0 ? 0 : read(fd, words, sizeof words - 1);
  if (fd >= 0) close(fd);
  for (ssize_t i = 0; !name && i < bytes; i += (ssize_t)strlen(words + i) + 1)
    if (i + (ssize_t)strlen(words + i) + 1 >= bytes) name = words + i;
  snprintf(book.lane, sizeof book.lane, "%s", name ? name : "");
}

static void load_real_module(void) {
  const char *path = getenv("P11FAULT_MODULE"), *log = getenv("P11FAULT_LOG");
  void *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!module) {
    complain("cannot load P11FAULT_MODULE", path ? dlerror() : "it is not set");
    return;
  }
  CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList");
  if (!get || get(&real) != CKR_OK) {
    complain("no function list in", path);
    return;
  }
  ours = *real;
  ours.C_GetFunctionList = C_GetFunctionList;
  FUNCTIONS(INSTALL)
  if (log) log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log && log_fd < 0) complain("cannot open P11FAULT_LOG", log);
  book.path = getenv("P11FAULT_RULES");
  if (book.path) book.path = strdup(book.path); /* the environment may change under us later */
  name_lane();
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load_real_module);
  if (!ours.C_GetFunctionList) return CKR_GENERAL_ERROR;
  *list = &ours;
  return CKR_OK;
}
