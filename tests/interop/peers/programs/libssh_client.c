/* libssh as a client: FOLDER KEX CIPHERS MACS HOSTKEYS; rows on stdin. */
#include <libssh/libssh.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *hosts[] = {"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"};
enum { HOSTS = 5 };
static ssh_key known[HOSTS];
static ssh_key identity;

static const char *set_up(ssh_session session, char **lists, unsigned port, uint64_t rekey) {
  int off = 0;
  long timeout = 30;
  ssh_options_set(session, SSH_OPTIONS_HOST, "127.0.0.1");
  ssh_options_set(session, SSH_OPTIONS_PORT, &port);
  ssh_options_set(session, SSH_OPTIONS_USER, "alice");
  ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &off);
  ssh_options_set(session, SSH_OPTIONS_TIMEOUT, &timeout);
  ssh_options_set(session, SSH_OPTIONS_KNOWNHOSTS, "/dev/null"); /* else it orders host keys by what it knows */
  if (rekey) ssh_options_set(session, SSH_OPTIONS_REKEY_DATA, &rekey);
  if (ssh_options_set(session, SSH_OPTIONS_KEY_EXCHANGE, lists[0]) || ssh_options_set(session, SSH_OPTIONS_CIPHERS_C_S, lists[1]) ||
      ssh_options_set(session, SSH_OPTIONS_CIPHERS_S_C, lists[1]) || ssh_options_set(session, SSH_OPTIONS_HMAC_C_S, lists[2]) ||
      ssh_options_set(session, SSH_OPTIONS_HMAC_S_C, lists[2]) || ssh_options_set(session, SSH_OPTIONS_HOSTKEYS, lists[3]))
    return ssh_get_error(session);
  return NULL;
}

static const char *check_host(ssh_session session) {
  ssh_key key = NULL;
  int fits = 0;
  if (ssh_get_server_publickey(session, &key) != SSH_OK) return "there is no host key";
  for (int i = 0; i < HOSTS; ++i) fits |= ssh_key_cmp(known[i], key, SSH_KEY_CMP_PUBLIC) == 0;
  ssh_key_free(key);
  return fits ? NULL : "that is not the server's host key";
}

static const char *transfer(ssh_session session, ssh_channel channel, size_t size) {
  static char text[100];
  const char *result = NULL;
  char *data = malloc(size + 1), *back = malloc(size + 1);
  size_t sent = 0, got = 0;
  for (size_t i = 0; i < size; ++i) data[i] = (char)random();
  if (ssh_channel_open_session(channel) || ssh_channel_request_exec(channel, "store")) result = ssh_get_error(session);
  while (!result && sent < size) {
    int part = ssh_channel_write(channel, data + sent, (uint32_t)(size - sent < 16384 ? size - sent : 16384));
    if (part <= 0) result = ssh_get_error(session);
    else sent += (size_t)part;
  }
  if (!result && ssh_channel_send_eof(channel)) result = ssh_get_error(session);
  while (!result && got <= size) {
    int part = ssh_channel_read_timeout(channel, back + got, (uint32_t)(size + 1 - got), 0, 30000);
    if (part < 0) result = ssh_get_error(session);
    else if (part == 0) break;
    else got += (size_t)part;
  }
  if (!result && (got != size || memcmp(data, back, size) != 0)) {
    snprintf(text, sizeof text, "%zu bytes came back of %zu, or others", got, size);
    result = text;
  }
  if (!result && ssh_channel_get_exit_status(channel) != 0) result = "exit status";
  free(data);
  free(back);
  return result;
}

int main(int argc, char **argv) {
  char line[200], path[4096];
  if (argc != 6) return 2;
  snprintf(path, sizeof path, "%s/user", argv[1]);
  if (ssh_pki_import_privkey_file(path, NULL, NULL, NULL, &identity) != SSH_OK) return 2;
  for (int i = 0; i < HOSTS; ++i) {
    snprintf(path, sizeof path, "%s/host_%s.pub", argv[1], hosts[i]);
    if (ssh_pki_import_pubkey_file(path, &known[i]) != SSH_OK) return 2;
  }
  while (fgets(line, sizeof line, stdin)) {
    unsigned port = 0;
    unsigned long rekey = 0, size = 0;
    if (sscanf(line, "%u %lu %lu", &port, &rekey, &size) != 3) return 2;
    ssh_session session = ssh_new();
    const char *wrong = set_up(session, argv + 2, port, rekey);
    if (!wrong && ssh_connect(session) != SSH_OK) wrong = ssh_get_error(session);
    if (!wrong) wrong = check_host(session);
    if (!wrong && ssh_userauth_publickey(session, NULL, identity) != SSH_AUTH_SUCCESS) wrong = ssh_get_error(session);
    if (!wrong) {
      ssh_channel channel = ssh_channel_new(session);
      wrong = transfer(session, channel, size);
      printf("%s\n", wrong ? wrong : "ok");
      ssh_channel_free(channel);
    } else {
      printf("%s\n", wrong);
    }
    fflush(stdout);
    ssh_disconnect(session);
    ssh_free(session);
  }
  return 0;
}
