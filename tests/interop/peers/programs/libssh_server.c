/* libssh as a server: FOLDER PORT REKEY_BYTES KEX CIPHERS MACS HOSTKEYS HOST…; a process for each connection. */
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ssh_key authorized;

static int check_key(ssh_session session, const char *user, struct ssh_key_struct *key, char state, void *data) {
  (void)session, (void)data;
  if (strcmp(user, "alice") != 0 || ssh_key_cmp(key, authorized, SSH_KEY_CMP_PUBLIC) != 0) return SSH_AUTH_DENIED;
  return state == SSH_PUBLICKEY_STATE_NONE || state == SSH_PUBLICKEY_STATE_VALID ? SSH_AUTH_SUCCESS : SSH_AUTH_DENIED;
}

static ssh_channel channel;
static int started, ended;
static char stored[1 << 20];
static uint32_t stored_size;

/* Kept until the input ends: writing from inside of a callback would re-enter the library. */
static int on_data(ssh_session session, ssh_channel from, void *data, uint32_t size, int is_stderr, void *unused) {
  (void)session, (void)from, (void)is_stderr, (void)unused;
  if (size > sizeof stored - stored_size) return 0;
  memcpy(stored + stored_size, data, size);
  stored_size += size;
  return (int)size;
}
static void on_eof(ssh_session session, ssh_channel from, void *unused) {
  (void)session, (void)from, (void)unused;
  ended = 1;
}
static int on_exec(ssh_session session, ssh_channel from, const char *command, void *unused) {
  (void)session, (void)from, (void)command, (void)unused;
  started = 1;
  return 0;
}
static struct ssh_channel_callbacks_struct channel_callbacks = {
    .channel_data_function = on_data, .channel_eof_function = on_eof, .channel_exec_request_function = on_exec};

static ssh_channel open_channel(ssh_session session, void *unused) {
  (void)unused;
  channel = ssh_channel_new(session);
  ssh_callbacks_init(&channel_callbacks);
  ssh_set_channel_callbacks(channel, &channel_callbacks);
  return channel;
}

static void serve(ssh_session session, uint64_t rekey) {
  struct ssh_server_callbacks_struct callbacks = {.auth_pubkey_function = check_key,
                                                  .channel_open_request_session_function = open_channel};
  ssh_callbacks_init(&callbacks);
  ssh_set_server_callbacks(session, &callbacks);
  ssh_set_auth_methods(session, SSH_AUTH_METHOD_PUBLICKEY);
  if (rekey) ssh_options_set(session, SSH_OPTIONS_REKEY_DATA, &rekey);
  ssh_event event = ssh_event_new();
  if (ssh_handle_key_exchange(session) != SSH_OK) {
    fprintf(stderr, "%s\n", ssh_get_error(session));
    exit(1);
  }
  ssh_event_add_session(event, session);
  while (!ended && ssh_event_dopoll(event, 30000) != SSH_ERROR) {
  }
  if (started && ended) {
    for (uint32_t sent = 0; sent < stored_size;) {
      int part = ssh_channel_write(channel, stored + sent, stored_size - sent < 16384 ? stored_size - sent : 16384);
      if (part <= 0) exit(1);
      sent += (uint32_t)part;
    }
    ssh_channel_request_send_exit_status(channel, 0);
    ssh_channel_send_eof(channel);
    ssh_channel_close(channel);
    /* Until the client has gone: what is still queued behind a key exchange is sent meanwhile. Its slow ones (modulus groups)
     * leave reads and writes pending for long, which is no end. */
    while ((ssh_get_status(session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) == 0 && ssh_event_dopoll(event, 30000) == SSH_OK) {
    }
  }
  exit(0);
}

int main(int argc, char **argv) {
  char path[4096];
  if (argc < 9) return 2;
  signal(SIGCHLD, SIG_IGN);
  snprintf(path, sizeof path, "%s/user.pub", argv[1]);
  if (ssh_pki_import_pubkey_file(path, &authorized) != SSH_OK) return 2;
  ssh_bind bind = ssh_bind_new();
  int off = 0;
  ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &off);
  ssh_bind_options_set(bind, SSH_BIND_OPTIONS_BINDADDR, "127.0.0.1");
  ssh_bind_options_set(bind, SSH_BIND_OPTIONS_BINDPORT_STR, argv[2]);
  for (int i = 8; i < argc; ++i) {
    snprintf(path, sizeof path, "%s/host_%s", argv[1], argv[i]);
    ssh_key key = NULL;
    if (ssh_pki_import_privkey_file(path, NULL, NULL, NULL, &key) != SSH_OK) return 2;
    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key);
  }
  if (ssh_bind_options_set(bind, SSH_BIND_OPTIONS_KEY_EXCHANGE, argv[4]) || ssh_bind_options_set(bind, SSH_BIND_OPTIONS_CIPHERS_C_S, argv[5]) ||
      ssh_bind_options_set(bind, SSH_BIND_OPTIONS_CIPHERS_S_C, argv[5]) || ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HMAC_C_S, argv[6]) ||
      ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HMAC_S_C, argv[6]) || ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, argv[7]) ||
      ssh_bind_listen(bind) != SSH_OK) {
    fprintf(stderr, "%s\n", ssh_get_error(bind));
    return 2;
  }
  for (;;) {
    ssh_session session = ssh_new();
    if (ssh_bind_accept(bind, session) != SSH_OK) return 2;
    if (fork() == 0) {
      ssh_bind_free(bind); /* the listening socket is the parent's */
      serve(session, strtoull(argv[3], NULL, 10));
    }
    ssh_disconnect(session);
    ssh_free(session);
  }
}
