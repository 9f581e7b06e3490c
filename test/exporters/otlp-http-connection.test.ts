import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, createServer as createTcpServer, type Server } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import otlpHttp from '../../exporters/otlp-http/index.ts';
import type { SendResult } from '../../src/component/exporter.ts';
import bearerTokenAuth from '../../src/extensions/bearer-token-auth/index.ts';
import { testHost } from '../../src/testing/host.ts';
import { record } from '../../src/testing/records.ts';
import { makeCertificates } from '../simulators/bmc/certificates.ts';
import { temporaryDirectory } from '../support/storage.ts';

async function listening(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function senderOf(t: TestContext, settings: object, host = testHost()) {
  const config = otlpHttp.schema.parse(settings);
  const sender = otlpHttp.create({ id: { type: 'otlp_http', name: '' }, config, host });
  await sender.start!(host);
  t.after(() => sender.shutdown!(AbortSignal.timeout(1_000)));
  return {
    sender,
    send: (): Promise<SendResult> => sender.sendLogs!([record('a')], { signal: AbortSignal.timeout(5_000) }),
  };
}

/** An https backend with a certificate of our own authority, which may ask for one of the same in return. */
async function tlsBackend(t: TestContext, asksForCertificate = false) {
  const { ca, key, cert } = await makeCertificates();
  const answer = (request: IncomingMessage, response: import('node:http').ServerResponse) =>
    request.resume().on('end', () => response.end());
  const server = createTlsServer(
    { key, cert, ca, requestCert: asksForCertificate, rejectUnauthorized: asksForCertificate },
    answer,
  );
  const port = await listening(t, server);
  t.after(() => server.closeAllConnections());
  const directory = await temporaryDirectory(t);
  const file = async (name: string, text: string) => {
    const path = join(directory, name);
    await writeFile(path, text);
    return path;
  };
  return {
    endpoint: `https://127.0.0.1:${port}`,
    ca_file: await file('ca.pem', ca),
    cert_file: await file('cert.pem', cert),
    key_file: await file('key.pem', key),
  };
}

test('a certificate that is not to be trusted holds, and names the certificate; with its authority it is taken', async (t) => {
  const { endpoint, ca_file } = await tlsBackend(t);
  const refused = await (await senderOf(t, { endpoint })).send();
  assert.ok(refused.kind === 'hold' && refused.reason.startsWith('the certificate: '), JSON.stringify(refused));
  assert.deepEqual(await (await senderOf(t, { endpoint, tls: { ca_file } })).send(), { kind: 'accepted' });
});

test('through a proxy the same authority is trusted, and no other', async (t) => {
  const { endpoint, ca_file } = await tlsBackend(t);
  let tunnels = 0;
  const proxy = createTcpServer((client) => {
    client.on('error', () => {});
    client.once('data', (head) => {
      const [, host, port] = /^CONNECT ([^:]+):(\d+)/.exec(head.toString())!;
      tunnels++;
      const target = connect(Number(port), host);
      target.on('error', () => client.destroy());
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      client.pipe(target).pipe(client);
    });
  });
  const proxy_url = `http://127.0.0.1:${await listening(t, proxy)}`;
  assert.deepEqual(await (await senderOf(t, { endpoint, proxy_url, tls: { ca_file } })).send(), { kind: 'accepted' });
  assert.equal(tunnels, 1);
  assert.equal((await (await senderOf(t, { endpoint, proxy_url })).send()).kind, 'hold');
});

test('a backend that asks for a certificate gets ours; without one the exporter is held or retries, and loses nothing', async (t) => {
  const { endpoint, ca_file, cert_file, key_file } = await tlsBackend(t, true);
  assert.deepEqual(await (await senderOf(t, { endpoint, tls: { ca_file, cert_file, key_file } })).send(), {
    kind: 'accepted',
  });
  const { kind } = await (await senderOf(t, { endpoint, tls: { ca_file } })).send();
  assert.ok(kind === 'hold' || kind === 'retry', kind);
});

test('a token in a file is read for every request: a rotated one needs no restart', async (t) => {
  const server = createServer((request, response) =>
    request
      .resume()
      .on('end', () => response.writeHead(request.headers.authorization === 'Bearer good' ? 200 : 401).end()),
  );
  const endpoint = `http://127.0.0.1:${await listening(t, server)}`;
  const filename = join(await temporaryDirectory(t), 'token');
  await writeFile(filename, 'bad\n');
  const auth = bearerTokenAuth.create({
    id: { type: 'bearer_token_auth', name: '' },
    config: bearerTokenAuth.schema.parse({ filename }),
    host: testHost(),
  });
  const host = { ...testHost(), extension: () => auth };
  const settings = { endpoint, tls: { insecure: true }, auth: { authenticator: 'bearer_token_auth' } };
  const { send } = await senderOf(t, settings, host);
  assert.deepEqual(await send(), { kind: 'hold', reason: 'HTTP 401', status: 401 });
  await writeFile(filename, 'good\n');
  assert.deepEqual(await send(), { kind: 'accepted' });
  t.after(() => server.closeAllConnections());
});
