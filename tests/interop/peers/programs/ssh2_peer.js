// npm's ssh2 as a client ("client FOLDER": rows on stdin) or as a server ("server FOLDER PORT REKEY_BYTES").
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const readline = require('readline');
const { Client, Server, utils } = require('ssh2');
const known = require('ssh2/lib/protocol/constants.js');

const algorithms = {
  kex: known.SUPPORTED_KEX,
  cipher: known.SUPPORTED_CIPHER,
  hmac: known.SUPPORTED_MAC,
  serverHostKey: known.SUPPORTED_SERVER_HOST_KEY,
  compress: ['none'],
};
const HOSTS = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'ssh-rsa'];
const [role, folder, port, rekeyBytes] = process.argv.slice(2);
const blob = (file) => Buffer.from(fs.readFileSync(file, 'utf8').split(' ')[1], 'base64');

// It has no limit by itself: a key exchange is asked for in the middle of the data. Its client documents rekey() and
// has it behind a private name only.
function row(port, rekey, size) {
  return new Promise((resolve) => {
    const trusted = HOSTS.map((name) => blob(`${folder}/host_${name}.pub`));
    const client = new Client();
    const done = (text) => { client.end(); resolve(text); };
    const limit = setTimeout(() => done('no end within 30 seconds'), 30000);
    client.on('error', (error) => done(error.message));
    client.on('close', () => { clearTimeout(limit); resolve('closed too early'); });
    client.on('ready', () => client.exec('store', (error, stream) => {
      if (error) return done(error.message);
      const data = crypto.randomBytes(size);
      const back = [];
      stream.on('data', (part) => back.push(part));
      stream.on('close', (code) => {
        const whole = Buffer.concat(back);
        done(!whole.equals(data) ? `${whole.length} bytes came back of ${size}, or others` : code === 0 ? 'ok' : `code ${code}`);
      });
      const half = Math.floor(size / 2);
      stream.write(data.subarray(0, half));
      const rest = () => stream.end(data.subarray(half));
      if (!rekey) return rest();
      client.once('handshake', rest);
      client._protocol.rekey();
    }));
    client.connect({ host: '127.0.0.1', port, username: 'alice', privateKey: fs.readFileSync(`${folder}/user`), algorithms,
      readyTimeout: 20000, hostVerifier: (key) => trusted.some((one) => one.equals(key)) });
  });
}

async function client() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [port, rekey, size] = line.split(' ').map(Number);
    let text;
    try { text = await row(port, rekey, size); } catch (error) { text = error.message; }
    console.log(text.replace(/\n/g, ' '));
  }
  process.exit(0);
}

function serve(connection) {
  const authorized = utils.parseKey(fs.readFileSync(`${folder}/user.pub`));
  connection.on('error', (error) => console.log(error.message));
  connection.on('authentication', (context) => {
    const fits = context.method === 'publickey' && context.username === 'alice'
      && authorized.getPublicSSH().equals(context.key.data);
    if (!fits) return context.reject(['publickey']);
    if (context.signature && authorized.verify(context.blob, context.signature, context.hashAlgo) !== true) return context.reject();
    context.accept();
  });
  connection.on('session', (accept) => accept().on('exec', (accept) => {
    const stream = accept();
    let asked = !Number(rekeyBytes);
    stream.on('data', (part) => {
      stream.write(part);
      if (!asked) { asked = true; connection.rekey(); }
    });
    stream.on('end', () => { stream.exit(0); stream.end(); });
  }));
}

if (role === 'client') client();
else new Server({ hostKeys: HOSTS.map((name) => fs.readFileSync(`${folder}/host_${name}`)), algorithms }, serve).listen(Number(port), '127.0.0.1');
