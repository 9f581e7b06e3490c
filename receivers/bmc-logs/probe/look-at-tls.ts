import { createHash, type X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect, type SecureVersion } from 'node:tls';
import type { buildConnector } from 'undici';
import { aborted } from '../../../src/component/aborted.ts';
import type { Clock } from '../../../src/component/clock.ts';
import { deadline } from '../../../src/component/deadline.ts';
import type { OutbandError } from '../../../src/component/errors.ts';
import type { Finding } from '../../../src/component/factory.ts';
import { asBmcError } from '../client/redfish-client.ts';
import type { EndpointConfig } from '../endpoint-settings.ts';
import { explained } from './explained.ts';

/** The newest first: the certificate of that one counts. */
const VERSIONS: readonly SecureVersion[] = ['TLSv1.3', 'TLSv1.2', 'TLSv1.1', 'TLSv1'];
/** A BMC, or a firewall before it, may let the hello of a version vanish. */
const VERSION_MS = 2_000;
/** These are about the certificate or the protocol; after any other there is nobody to ask. */
const TLS_REFUSALS: ReadonlySet<string> = new Set(['certificate_mismatch', 'bmc_tls']);
const FEW_DAYS = 30;
const MS_PER_DAY = 86_400_000;

/**
 * What TLS a BMC speaks, and whether the receiver would speak with it.
 * @param connector the receiver's own, whose verdict counts
 */
export async function lookAtTls(
  endpoint: EndpointConfig,
  connector: buildConnector.connector,
  clock: Clock,
  signal: AbortSignal,
): Promise<Finding> {
  const { address, tls } = endpoint;
  const finding = (verdict: Finding['verdict'], text: string, details = {}): Finding => ({
    ...{ topic: 'tls', verdict, text, details },
  });
  if (address.protocol === 'http:')
    return finding('warn', 'none: whoever is in between reads the account and the logs');
  const refused = await Promise.race([refusal(address, connector), aborted(signal)]);
  signal.throwIfAborted();
  if (refused && !TLS_REFUSALS.has(refused.code)) return finding('fail', explained(refused));
  // What the receiver refuses to speak with is still looked at: without it there is nothing to pin. One after the other, as a
  // BMC has little strength for handshakes.
  const shown = new Map<SecureVersion, X509Certificate>();
  for (const version of VERSIONS) {
    using limit = deadline(clock, VERSION_MS, version, signal);
    const certificate = await certificateOf(address, version, tls.server_name, limit.signal);
    signal.throwIfAborted();
    if (certificate) shown.set(version, certificate);
  }
  const versions = [...shown.keys()].reverse();
  const [certificate] = shown.values();
  if (!certificate) return finding('fail', refused ? explained(refused) : 'no version of TLS shows a certificate');
  const key = certificate.publicKey.export({ type: 'spki', format: 'der' });
  const spkiSha256 = createHash('sha256').update(key).digest('base64');
  const nowMs = Number(clock.now() / 1_000_000n);
  const daysLeft = Math.floor((Date.parse(certificate.validTo) - nowMs) / MS_PER_DAY);
  const names = certificate.subjectAltName ?? certificate.subject.replaceAll('\n', ', ');
  const facts = [versions.join(', '), `for ${names}`, `${daysLeft} days left`, `spki_sha256 ${spkiSha256}`];
  const details = { versions, names, daysLeft, spkiSha256 };
  if (refused) {
    const pin = `If the key is the BMC's own (compare it there), --pin ${spkiSha256} accepts it.`;
    return finding('fail', `${explained(refused)} ${pin} It offers ${facts.slice(0, 3).join('; ')}.`, details);
  }
  const isUnjudged = tls.insecure_skip_verify === true;
  const text = [isUnjudged ? 'accepted unseen' : 'trusted', ...facts].join('; ');
  return finding(isUnjudged || daysLeft < FEW_DAYS ? 'warn' : 'ok', text, details);
}

/** Why the receiver would not speak with this BMC; undefined: it would. */
function refusal(address: URL, connector: buildConnector.connector): Promise<OutbandError | undefined> {
  const { hostname, host, protocol, port } = address;
  return new Promise((resolve) => {
    connector({ hostname, host, protocol, port: port || '443' }, (error, socket) => {
      socket?.destroy();
      resolve(error ? asBmcError(error, new URL('/redfish/v1/', address)) : undefined);
    });
  });
}

/** The certificate that is shown in one version of TLS; undefined: that version is not offered. */
async function certificateOf(
  { hostname, port }: URL,
  version: SecureVersion,
  serverName: string | undefined,
  signal: AbortSignal,
): Promise<X509Certificate | undefined> {
  const host = hostname.replace(/^\[|\]$/g, '');
  const servername = serverName ?? (isIP(host) ? '' : host);
  const socket = connect({
    ...{ host, port: Number(port || 443), servername, minVersion: version, maxVersion: version },
    // It only looks: no byte of HTTP follows. OpenSSL 3 speaks the old versions only at its lowest security level.
    ...{ rejectUnauthorized: false, ciphers: 'DEFAULT@SECLEVEL=0' },
  });
  try {
    const shown = new Promise<X509Certificate | undefined>((resolve) => {
      socket.on('secureConnect', () => resolve(socket.getPeerX509Certificate()));
      socket.on('error', () => resolve(undefined)).on('close', () => resolve(undefined));
    });
    return (await Promise.race([shown, aborted(signal)])) ?? undefined;
  } finally {
    socket.destroy();
  }
}
