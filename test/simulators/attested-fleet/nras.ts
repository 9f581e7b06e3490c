import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { FAILING_EVIDENCE } from './report.ts';

/** What the service says of good evidence, or what is wrong with how it says it. */
export type NrasVerdict = 'true' | 'false' | 'PASS' | 'wrongKid' | 'wrongIssuer' | 'expired' | 'wrongNonce' | 'outage';

/** The only issuer of good tokens. */
export const NRAS_ISSUER = 'https://nras.fleet.localhost';

const KEY_ID = 'nras-1';
const LIFE_S = 3_600;

/** A stand-in for NVIDIA's remote attestation service. */
export class Nras {
  verdict: NrasVerdict = 'true';
  /** How often evidence was posted, and keys were asked for. */
  readonly requests = { attest: 0, jwks: 0 };
  readonly #key: CryptoKey;
  readonly #jwk: JWK;
  readonly #now: () => number;

  private constructor(key: CryptoKey, jwk: JWK, now: () => number) {
    this.#key = key;
    this.#jwk = { ...jwk, kid: KEY_ID, alg: 'ES384', use: 'sig' };
    this.#now = now;
  }

  static async make(now: () => number): Promise<Nras> {
    const { publicKey, privateKey } = await generateKeyPair('ES384');
    return new Nras(privateKey, await exportJWK(publicKey), now);
  }

  readonly handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const isKeys = request.url === '/.well-known/jwks.json';
    this.requests[isKeys ? 'jwks' : 'attest']++;
    const body = Buffer.concat(await request.toArray()).toString();
    const send = (status: number, answer: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    if (this.verdict === 'outage') send(503, { error: 'out of service' });
    else if (isKeys) send(200, { keys: [this.#jwk] });
    else if (request.method !== 'POST' || request.url !== '/v3/attest/gpu') send(404, { error: 'not found' });
    else
      await this.#attest(body).then(
        (tokens) => send(200, tokens),
        () => send(400, { error: 'no evidence' }),
      );
  };

  async #attest(body: string): Promise<object> {
    const { nonce, evidence_list: evidence } = JSON.parse(body);
    const isFailing = evidence.some((one: { readonly evidence: string }) => one.evidence === FAILING_EVIDENCE);
    const result = isFailing || this.verdict === 'false' ? false : this.verdict === 'PASS' ? 'PASS' : true;
    const eatNonce = this.verdict === 'wrongNonce' ? '0'.repeat(64) : nonce;
    const overall = await this.#token({
      ...{ sub: 'NVIDIA-PLATFORM-ATTESTATION', eat_nonce: eatNonce },
      'x-nvidia-overall-att-result': result,
    });
    const gpus: Record<string, string> = {};
    for (const place of evidence.keys())
      gpus[`GPU-${place}`] = await this.#token({ sub: 'NVIDIA-GPU-ATTESTATION', eat_nonce: eatNonce, measres: result });
    return [['JWT', overall], gpus];
  }

  #token(claims: Record<string, unknown>): Promise<string> {
    const { verdict } = this;
    const now = Math.floor(this.#now() / 1_000);
    const issued = verdict === 'expired' ? now - 2 * LIFE_S : now;
    return new SignJWT({ ...claims, jti: randomUUID() })
      .setProtectedHeader({ alg: 'ES384', typ: 'JWT', kid: verdict === 'wrongKid' ? 'nras-unknown' : KEY_ID })
      .setIssuer(verdict === 'wrongIssuer' ? 'https://other.invalid' : NRAS_ISSUER)
      .setIssuedAt(issued)
      .setNotBefore(issued)
      .setExpirationTime(issued + LIFE_S)
      .sign(this.#key);
  }
}
