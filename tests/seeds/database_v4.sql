-- A hub's database as version 4 of the schema had it: cluster test.mezite, user alice, keys under the tests' passphrase.
BEGIN TRANSACTION;
CREATE TABLE audit_events (
  sequence INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  event_type TEXT NOT NULL,
  timestamp INTEGER NOT NULL,
  user_name TEXT NOT NULL,
  session_id TEXT NOT NULL,
  json TEXT NOT NULL,
  key_id TEXT NOT NULL,
  prev_hmac BLOB NOT NULL,
  hmac BLOB NOT NULL
) STRICT;
INSERT INTO "audit_events" VALUES(1,'8e249d4b-4bee-427b-8e9c-76944261fd3c','ca.created',1795351523289,'','','{"client_ip":"","cluster_name":"test.mezite","details":{"fingerprint":"SHA256:rAUq6FGNNmewmIUcm1M/dMQ2fOHSllFJJYIILzIX/GM"},"error_message":"","event_code":"T6000I","event_type":"ca.created","id":"8e249d4b-4bee-427b-8e9c-76944261fd3c","impersonator":"","resource_labels":{},"resource_name":"user","resource_type":"ca","server_hostname":"","server_id":"","session_id":"","success":true,"timestamp":"2026-11-22T12:45:23.289Z","user_name":"","user_roles":[]}','0f6134d3',X'0000000000000000000000000000000000000000000000000000000000000000',X'6C20D19264888823A8890B46E8BE8BB6D27EE8B08227B6F03EC813E5327839B2');
INSERT INTO "audit_events" VALUES(2,'b5c6261b-b9cf-40e3-ba6b-a1a5b4fa3eab','ca.created',1795351523313,'','','{"client_ip":"","cluster_name":"test.mezite","details":{"fingerprint":"SHA256:1Sc7wLajlk7ndkkE23O0bszcNtWBSjZ9W+xnZdlV2jc"},"error_message":"","event_code":"T6000I","event_type":"ca.created","id":"b5c6261b-b9cf-40e3-ba6b-a1a5b4fa3eab","impersonator":"","resource_labels":{},"resource_name":"host","resource_type":"ca","server_hostname":"","server_id":"","session_id":"","success":true,"timestamp":"2026-11-22T12:45:23.313Z","user_name":"","user_roles":[]}','0f6134d3',X'6C20D19264888823A8890B46E8BE8BB6D27EE8B08227B6F03EC813E5327839B2',X'9D0B517740AF5EEDA66E4F4F221B9988369C3ECE412C81F52C184825104CC014');
INSERT INTO "audit_events" VALUES(3,'6a9e01a2-57f8-4163-b1ad-aacc3fe27cb3','ca.created',1795351523324,'','','{"client_ip":"","cluster_name":"test.mezite","details":{"fingerprint":"SHA256:anpDK0hw8UNrbrsXphs4IQuUdqqE4QettO37WQryRew"},"error_message":"","event_code":"T6000I","event_type":"ca.created","id":"6a9e01a2-57f8-4163-b1ad-aacc3fe27cb3","impersonator":"","resource_labels":{},"resource_name":"spiffe","resource_type":"ca","server_hostname":"","server_id":"","session_id":"","success":true,"timestamp":"2026-11-22T12:45:23.324Z","user_name":"","user_roles":[]}','0f6134d3',X'9D0B517740AF5EEDA66E4F4F221B9988369C3ECE412C81F52C184825104CC014',X'4C6D331BF92E5041D3D2D8AE40260D175A2E9EB2C0ADEA329763DBCA49607E68');
INSERT INTO "audit_events" VALUES(4,'7b529c2d-292a-4089-a834-7e731781ac6b','hub.started',1795351523397,'','','{"client_ip":"","cluster_name":"test.mezite","details":{"version":"0.1.0"},"error_message":"","event_code":"T9000I","event_type":"hub.started","id":"7b529c2d-292a-4089-a834-7e731781ac6b","impersonator":"","resource_labels":{},"resource_name":"test.mezite","resource_type":"hub","server_hostname":"","server_id":"","session_id":"","success":true,"timestamp":"2026-11-22T12:45:23.397Z","user_name":"","user_roles":[]}','0f6134d3',X'4C6D331BF92E5041D3D2D8AE40260D175A2E9EB2C0ADEA329763DBCA49607E68',X'83DC2B588242B6BBC56EA9D9D59F43BEE76FB877FEB2BA5B4EE8AACD24094322');
INSERT INTO "audit_events" VALUES(5,'7e6b1011-a4d7-4c9c-834b-d45c59de6393','admin.call',1795351523588,'local:root','','{"client_ip":"","cluster_name":"test.mezite","details":{"pid":32536,"uid":0},"error_message":"","event_code":"T5000I","event_type":"admin.call","id":"7e6b1011-a4d7-4c9c-834b-d45c59de6393","impersonator":"","resource_labels":{},"resource_name":"UpsertRole","resource_type":"api","server_hostname":"","server_id":"","session_id":"","success":true,"timestamp":"2026-11-22T12:45:23.588Z","user_name":"local:root","user_roles":[]}','0f6134d3',X'83DC2B588242B6BBC56EA9D9D59F43BEE76FB877FEB2BA5B4EE8AACD24094322',X'4830C56847F5C248FA6598D479509426171D3B52EFF5B74E2568B2AB093EF702');
INSERT INTO "audit_events" VALUES(6,'8a4f7505-1041-4edb-bc89-4b2d0b94aa41','role.created',1795351523615,'local:root','','{"client_ip":"","cluster_name":"test.mezite","details":{},"error_message":"","event_code":"T1020I","event_type":"role.created","id":"8a4f7505-1041-4edb-bc89-4b2d0b94aa41","impersonator":"","resource_labels":{},"resource_name":"developer","resource_type":"role","server_hostname":"","server_id":"","session_id":"","success":true,"timestamp":"2026-11-22T12:45:23.615Z","user_name":"local:root","user_roles":[]}','0f6134d3',X'4830C56847F5C248FA6598D479509426171D3B52EFF5B74E2568B2AB093EF702',X'7AEEE5475147C68E8F54B4B6B104ED6ABE9F205FF903E5D5F0580A05A0434AF4');
INSERT INTO "audit_events" VALUES(7,'b835d63b-737d-4714-9304-a113377ddcbb','admin.call',1795351523761,'local:root','','{"client_ip":"","cluster_name":"test.mezite","details":{"pid":32545,"uid":0},"error_message":"","event_code":"T5000I","event_type":"admin.call","id":"b835d63b-737d-4714-9304-a113377ddcbb","impersonator":"","resource_labels":{},"resource_name":"CreateUser","resource_type":"api","server_hostname":"","server_id":"","session_id":"","success":true,"timestamp":"2026-11-22T12:45:23.761Z","user_name":"local:root","user_roles":[]}','0f6134d3',X'7AEEE5475147C68E8F54B4B6B104ED6ABE9F205FF903E5D5F0580A05A0434AF4',X'12B4B2358321387C19AE646892F5A88B1BBBA841CB81B9077AFF07131671C88E');
INSERT INTO "audit_events" VALUES(8,'54c75a52-5019-4172-8705-e00d65d41d16','user.created',1795351523784,'local:root','','{"client_ip":"","cluster_name":"test.mezite","details":{"roles":["developer"]},"error_message":"","event_code":"T1010I","event_type":"user.created","id":"54c75a52-5019-4172-8705-e00d65d41d16","impersonator":"","resource_labels":{},"resource_name":"alice","resource_type":"user","server_hostname":"","server_id":"","session_id":"","success":true,"timestamp":"2026-11-22T12:45:23.784Z","user_name":"local:root","user_roles":[]}','0f6134d3',X'12B4B2358321387C19AE646892F5A88B1BBBA841CB81B9077AFF07131671C88E',X'03C56BD9EC6E989916E7DB9C16408B7FB68B380C2A90ECDFB6A585E399110CAE');
INSERT INTO "audit_events" VALUES(9,'fc6e2910-246f-494f-9b02-687bc90cc048','admin.call',1795351525088,'local:root','','{"client_ip":"","cluster_name":"test.mezite","details":{"pid":32560,"uid":0},"error_message":"","event_code":"T5000I","event_type":"admin.call","id":"fc6e2910-246f-494f-9b02-687bc90cc048","impersonator":"","resource_labels":{},"resource_name":"GetCaStatus","resource_type":"api","server_hostname":"","server_id":"","session_id":"","success":true,"timestamp":"2026-11-22T12:45:25.088Z","user_name":"local:root","user_roles":[]}','0f6134d3',X'03C56BD9EC6E989916E7DB9C16408B7FB68B380C2A90ECDFB6A585E399110CAE',X'5CEDB88A3FFCD4ADF5FF1E2A512A9DD6E7EC97F22692D8A95A361120B8EC835A');
INSERT INTO "audit_events" VALUES(10,'3b99e1c5-1f48-4c4d-8a81-922bbdfe13f8','hub.stopped',1795351525180,'','','{"client_ip":"","cluster_name":"test.mezite","details":{"version":"0.1.0"},"error_message":"","event_code":"T9001I","event_type":"hub.stopped","id":"3b99e1c5-1f48-4c4d-8a81-922bbdfe13f8","impersonator":"","resource_labels":{},"resource_name":"test.mezite","resource_type":"hub","server_hostname":"","server_id":"","session_id":"","success":true,"timestamp":"2026-11-22T12:45:25.180Z","user_name":"","user_roles":[]}','0f6134d3',X'5CEDB88A3FFCD4ADF5FF1E2A512A9DD6E7EC97F22692D8A95A361120B8EC835A',X'F9821C013871A62A34F7FB4C79E0DD8C136ED56B6A3D48864992789E2DCFAE09');
CREATE TABLE audit_head (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  sequence INTEGER NOT NULL,
  hmac BLOB NOT NULL,
  key_id TEXT NOT NULL,
  seal BLOB NOT NULL
) STRICT;
INSERT INTO "audit_head" VALUES(1,10,X'F9821C013871A62A34F7FB4C79E0DD8C136ED56B6A3D48864992789E2DCFAE09','0f6134d3',X'92BC941B8D71C4D59687D2B194BEB2F845D8D95C2BDFFA618A5B78D79EE30FEB');
CREATE TABLE ca_rotations (
  type TEXT PRIMARY KEY,
  phase TEXT NOT NULL CHECK (phase IN ('init', 'update_clients', 'update_servers', 'complete')),
  state TEXT NOT NULL CHECK (state IN ('standby', 'in_progress', 'rollback'))
) STRICT;
INSERT INTO "ca_rotations" VALUES('user','complete','standby');
INSERT INTO "ca_rotations" VALUES('host','complete','standby');
INSERT INTO "ca_rotations" VALUES('spiffe','complete','standby');
CREATE TABLE certificate_authorities (
  type TEXT NOT NULL CHECK (type IN ('user', 'host', 'spiffe')),
  generation INTEGER NOT NULL,
  standing TEXT NOT NULL CHECK (standing IN ('active', 'standby')),
  private_key BLOB NOT NULL,
  ssh_public_key TEXT NOT NULL,
  x509_pem TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (type, generation)
) STRICT;
INSERT INTO "certificate_authorities" VALUES('user',1,'active',X'01026BA0ACA1443CCBC5B57D16D97B0A551A5D828D9421672D2042BB952DF5EAF4DC7AAD4BE3DBC9E1FEFE50ACC823F0393D108A1CBC58A32167578A3BF491E3EAB31015A48FCB1395161716FF','ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHG5jgeAdZ+66/3SZwPtH+UQc3o6bUHTCLZk2xuDfPOF','',1795351521869,2110884321869);
INSERT INTO "certificate_authorities" VALUES('host',1,'active',X'0141214BB897F60A3F28D4567C7C44D527031BF7A4114184C90D5707DE5BA2EAB46F9D8AD145BB8D57B8FC9A189EA09456F37D8810450BF81A70987CEE4B990A3AB916FED925D3FC3327FB5A1D','ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOwfAkEHpW3Nimqc5woDz/0jvESpiMJpa6CndbjxZM+x','-----BEGIN CERTIFICATE-----
MIIBYTCCAROgAwIBAgIQYsTSQy2EBmLvJ7Gwt7gvpDAFBgMrZXAwLzEUMBIGA1UE
CgwLdGVzdC5tZXppdGUxFzAVBgNVBAMMDk1leml0ZSBIb3N0IENBMB4XDTI2MTEy
MjExNDUyMVoXDTM2MTEyMTEyNDUyMVowLzEUMBIGA1UECgwLdGVzdC5tZXppdGUx
FzAVBgNVBAMMDk1leml0ZSBIb3N0IENBMCowBQYDK2VwAyEA7B8CQQelbc2Kapzn
CgPP/SO8RKmIwmlroKd1uPFkz7GjRTBDMBIGA1UdEwEB/wQIMAYBAf8CAQAwDgYD
VR0PAQH/BAQDAgEGMB0GA1UdDgQWBBS9mRP7ZnKwqTCNDfckY0dZk4g/ZzAFBgMr
ZXADQQCDl8NGEbhc6OiUGxd1/NjSvMpd3tJZj908P9DaHsMd5bKqZ19RZi0U8sVC
+cV/uPrTCmQZijMZZD7uLuuz05cP
-----END CERTIFICATE-----
',1795351521869,2110884321869);
INSERT INTO "certificate_authorities" VALUES('spiffe',1,'active',X'0128C8E5C7D56572FE7BBD38A485A0C7E823BDA61825AD6341F638CEC049044B6A610AD894DC526166A337FC52FE01496563649D1E8DCD160B2F61B9C893628938B93EC08F4EC5C2965886C414','ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK3DBWhVlwkcj/SN2KSNCI5Ffc8NyvDoU6El3KyrnbAF','-----BEGIN CERTIFICATE-----
MIIBZTCCARegAwIBAgIQTqQ7S4Jj1/U5WqsQGXXbTTAFBgMrZXAwMTEUMBIGA1UE
CgwLdGVzdC5tZXppdGUxGTAXBgNVBAMMEE1leml0ZSBTUElGRkUgQ0EwHhcNMjYx
MTIyMTE0NTIxWhcNMzYxMTIxMTI0NTIxWjAxMRQwEgYDVQQKDAt0ZXN0Lm1leml0
ZTEZMBcGA1UEAwwQTWV6aXRlIFNQSUZGRSBDQTAqMAUGAytlcAMhAK3DBWhVlwkc
j/SN2KSNCI5Ffc8NyvDoU6El3KyrnbAFo0UwQzASBgNVHRMBAf8ECDAGAQH/AgEA
MA4GA1UdDwEB/wQEAwIBBjAdBgNVHQ4EFgQUIpEQ3xJtDsqKGwoxqQ36B2A4Upsw
BQYDK2VwA0EAR7SjrDgqLGaV2PRyR5x/ZIgUe6ttRsnWXAHOEKoi0WCu6jfWTnTQ
F5C51aeV7QF9b+WtSgSfopbS2EF0ej07AQ==
-----END CERTIFICATE-----
',1795351521870,2110884321870);
CREATE TABLE invites (
  secret_sha256 BLOB PRIMARY KEY,
  user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
  purpose TEXT NOT NULL CHECK (purpose IN ('invite', 'reset')),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE join_tokens (
  id TEXT PRIMARY KEY,
  secret_sha256 BLOB NOT NULL UNIQUE,
  roles TEXT NOT NULL,
  labels TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used INTEGER NOT NULL DEFAULT 0 CHECK (used IN (0, 1)),
  used_at INTEGER,
  used_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE locks (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('user', 'role', 'node', 'login')),
  name TEXT NOT NULL,
  message TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
) STRICT;
CREATE TABLE nodes (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  hostname TEXT NOT NULL,
  labels TEXT NOT NULL,
  token_labels TEXT NOT NULL,
  version TEXT NOT NULL,
  ssh_public_key TEXT NOT NULL,
  tls_public_key BLOB NOT NULL,
  host_cert_signer_fingerprint TEXT NOT NULL DEFAULT '',
  host_cert_expires_at INTEGER,
  joined_at INTEGER NOT NULL,
  last_heartbeat INTEGER
) STRICT;
CREATE TABLE revision (number INTEGER NOT NULL) STRICT;
INSERT INTO "revision" VALUES(8);
CREATE TABLE roles (
  name TEXT PRIMARY KEY,
  description TEXT NOT NULL,
  document TEXT NOT NULL,
  built_in INTEGER NOT NULL CHECK (built_in IN (0, 1)),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
INSERT INTO "roles" VALUES('admin','Everything in the admin API','{"kind":"role","version":"v1","metadata":{"name":"admin","description":"Everything in the admin API"},"spec":{"allow":{"rules":[{"resources":["*"],"verbs":["*"]}]}}}',1,1795351523239,1795351523239);
INSERT INTO "roles" VALUES('access','Every node, as the logins among the user''s own traits','{"kind":"role","version":"v1","metadata":{"name":"access","description":"Every node, as the logins among the user''s own traits"},"spec":{"allow":{"node_labels":{"*":"*"},"logins":["{{internal.logins}}"]}}}',1,1795351523239,1795351523239);
INSERT INTO "roles" VALUES('editor','Changes configuration, but not users'' data: no recordings, no audit','{"kind":"role","version":"v1","metadata":{"name":"editor","description":"Changes configuration, but not users'' data: no recordings, no audit"},"spec":{"allow":{"rules":[{"resources":["users","roles","tokens","nodes","connectors","locks","cluster","apps"],"verbs":["*"]},{"resources":["trusted_clusters","workload_identities","agent_identities","devices"],"verbs":["*"]},{"resources":["ca"],"verbs":["list","read"]}]}}}',1,1795351523239,1795351523239);
INSERT INTO "roles" VALUES('auditor','Reads audit events and recordings','{"kind":"role","version":"v1","metadata":{"name":"auditor","description":"Reads audit events and recordings"},"spec":{"allow":{"rules":[{"resources":["audit","recordings","sessions"],"verbs":["list","read"]}]}}}',1,1795351523239,1795351523239);
INSERT INTO "roles" VALUES('reviewer','Reviews access requests','{"kind":"role","version":"v1","metadata":{"name":"reviewer","description":"Reviews access requests"},"spec":{"allow":{"review_roles":["*"],"rules":[{"resources":["requests"],"verbs":["list","read","update"]}]}}}',1,1795351523239,1795351523239);
INSERT INTO "roles" VALUES('developer','','{"kind":"role","version":"v1","metadata":{"name":"developer"},"spec":{"allow":{"node_labels":{"env":"dev"},"logins":["root"]}}}',0,1795351523605,1795351523605);
CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, program_version TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT;
INSERT INTO "schema_migrations" VALUES(1,'settings','0.1.0',1795351520441);
INSERT INTO "schema_migrations" VALUES(2,'identity','0.1.0',1795351520453);
INSERT INTO "schema_migrations" VALUES(3,'audit','0.1.0',1795351520465);
INSERT INTO "schema_migrations" VALUES(4,'authorities','0.1.0',1795351520466);
CREATE TABLE secret_box (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  salt BLOB NOT NULL,
  memory_kib INTEGER NOT NULL,
  iterations INTEGER NOT NULL,
  lanes INTEGER NOT NULL,
  check_value BLOB NOT NULL
) STRICT;
INSERT INTO "secret_box" VALUES(1,X'00EA649B9E7E40F35D14CF99BB16F917',65536,3,1,X'E0ACE9879E3DBE4EFE4EC190EE2E5713E66A5EBFE9F4CEE689FF3D2CA50DAA6E487E');
CREATE TABLE sessions (
  token_sha256 BLOB PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
  client_ip TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE user_roles (
  user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
  role_name TEXT NOT NULL REFERENCES roles (name),
  PRIMARY KEY (user_name, role_name)
) STRICT, WITHOUT ROWID;
INSERT INTO "user_roles" VALUES('alice','developer');
CREATE TABLE users (
  name TEXT PRIMARY KEY,
  traits TEXT NOT NULL,
  password_hash TEXT,
  password_changed_at INTEGER,
  failed_logins INTEGER NOT NULL DEFAULT 0,
  locked_until INTEGER,
  created_at INTEGER NOT NULL,
  last_login_at INTEGER
) STRICT;
INSERT INTO "users" VALUES('alice','{}','$argon2id$v=19$m=65536,t=3,p=1$jiQMiR49BKoxY052p/5k6Q$icpcSwtFeoX7dII8YIizqYHfuV9nOiCkLgVFFmxk3Jg',1795351524966,0,NULL,1795351523772,NULL);
CREATE UNIQUE INDEX users_by_folded_name ON users (lower(name));
CREATE INDEX user_roles_by_role ON user_roles (role_name);
CREATE INDEX sessions_by_user ON sessions (user_name);
CREATE INDEX sessions_by_end ON sessions (expires_at);
CREATE INDEX invites_by_user ON invites (user_name);
CREATE UNIQUE INDEX nodes_by_folded_name ON nodes (lower(name));
CREATE INDEX locks_by_target ON locks (kind, name);
CREATE INDEX audit_events_by_type ON audit_events (event_type, sequence);
CREATE INDEX audit_events_by_time ON audit_events (timestamp);
CREATE INDEX audit_events_by_user ON audit_events (user_name, sequence) WHERE user_name <> '';
CREATE INDEX audit_events_by_session ON audit_events (session_id, sequence) WHERE session_id <> '';
CREATE UNIQUE INDEX certificate_authorities_active ON certificate_authorities (type) WHERE standing = 'active';
COMMIT;
