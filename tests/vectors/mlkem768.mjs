// Writes mlkem768.txt: what two independent implementations of ML-KEM-768 make of the same inputs. They must agree.
//
//   npm install @noble/post-quantum mlkem && node mlkem768.mjs > mlkem768.txt
import { createHash } from "node:crypto";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { MlKem768 } from "mlkem";

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const expand = (text, size) => new Uint8Array(createHash("shake128", { outputLength: size }).update(text).digest());
const agree = (a, b) => {
  if (hex(a) !== hex(b)) throw new Error("the implementations differ");
  return a;
};

console.log("# seed, message, then SHA-256 of the public key, the private key and the ciphertext; the shared secret;");
console.log("# the secret that the private key gives for the ciphertext SHAKE128(seed). Made by mlkem768.mjs.");
for (let i = 0; i < 24; ++i) {
  const seed = expand(`seed ${i}`, 64);
  const message = expand(`message ${i}`, 32);
  const stray = expand(seed, 1088);
  const noble = ml_kem768.keygen(seed);
  const other = new MlKem768();
  const [publicKey, privateKey] = await other.deriveKeyPair(seed);
  agree(noble.publicKey, publicKey);
  agree(noble.secretKey, privateKey);
  const sent = ml_kem768.encapsulate(noble.publicKey, message);
  const [ciphertext, secret] = await other.encap(publicKey, message);
  agree(sent.cipherText, ciphertext);
  agree(sent.sharedSecret, secret);
  agree(secret, await other.decap(ciphertext, privateKey));
  const rejected = agree(ml_kem768.decapsulate(stray, noble.secretKey), await other.decap(stray, privateKey));
  console.log([hex(seed), hex(message), sha256(publicKey), sha256(privateKey), sha256(ciphertext), hex(secret),
    hex(rejected)].join(" "));
}
