import { parseArgs } from 'node:util';
import { builtins } from '../builtins.ts';
import { deadline } from '../component/deadline.ts';
import { describeError, OutbandError } from '../component/errors.ts';
import type { Finding, ProbeOptions } from '../component/factory.ts';
import { Secret } from '../component/secret.ts';
import { readSecretFile } from '../component/secret-file.ts';
import { parseDuration } from '../config/schema/duration.ts';
import { systemClock } from '../platform/system-clock.ts';
import { UsageError } from '../usage-error.ts';

export const PROBE_USAGE = `Usage: outband probe https://BMC [flags]

What the receiver bmc_logs would make of one BMC, and why: tls, root, auth, events, stream, mode, logs, and a block of
configuration to paste. It leaves nothing behind.

  --username NAME         account; its password is read from --password-file or $OUTBAND_PROBE_PASSWORD
  --password-file FILE    holds the password
  --ca-file FILE          certificate authorities to trust, PEM
  --pin HASH              SHA-256 of a public key to accept; may be repeated
  --insecure-skip-verify  accepts any certificate
  --no-session            HTTP Basic instead of a Redfish session
  --no-stream             does not try the stream
  --timeout 60s           ends the probe
  --json                  machine-readable output
`;

const DEFAULT_TIMEOUT_MS = 60_000;

/**
 * `outband probe URL`: what a receiver finds out about one peer, as it finds it out.
 * @returns the exit code: 1 when something fails
 */
export async function runProbeCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(PROBE_USAGE);
    return 0;
  }
  const { timeoutMs, json, ...options } = await parse(args);
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => interrupted.abort(new OutbandError('shutting_down', 'interrupted')));
  using limit = deadline(systemClock, timeoutMs, 'the probe', interrupted.signal);
  const findings: Finding[] = [];
  const receiver = builtins.find((one) => one.kind === 'receiver' && one.probe !== undefined);
  if (receiver?.kind !== 'receiver') throw new UsageError('no receiver of this agent can probe');
  try {
    for await (const finding of receiver.probe!({ ...options, clock: systemClock, signal: limit.signal })) {
      findings.push(finding);
      if (!json) process.stdout.write(lineOf(finding));
    }
  } catch (error) {
    if (!limit.signal.aborted) throw error;
    const cut: Finding = { topic: 'probe', verdict: 'fail', text: describeError(limit.signal.reason) };
    findings.push(cut);
    if (!json) process.stdout.write(lineOf(cut));
  }
  if (json) process.stdout.write(`${JSON.stringify({ version: 1, address: options.address, findings })}\n`);
  return findings.some(({ verdict }) => verdict === 'fail') ? 1 : 0;
}

/** A block stands below its line, at the margin, so that it can be pasted. */
function lineOf({ topic, verdict, text }: Finding): string {
  const head = `${topic.padEnd(7)} ${verdict.toUpperCase().padEnd(4)} `;
  return text.includes('\n') ? `${head}\n${text}\n` : `${head} ${printable(text)}\n`;
}

/** What a BMC says may hold sequences that move the cursor of a terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '?');
}

type Parsed = Omit<ProbeOptions, 'clock' | 'signal'> & { readonly timeoutMs: number; readonly json: boolean };

async function parse(args: readonly string[]): Promise<Parsed> {
  let parsed: ReturnType<typeof parseFlags>;
  try {
    parsed = parseFlags(args);
  } catch (error) {
    throw new UsageError(`${describeError(error).split('. ')[0]}; see outband probe --help`);
  }
  const { values, positionals } = parsed;
  const [address, ...more] = positionals;
  if (address === undefined) throw new UsageError('which BMC? outband probe https://BMC; see outband probe --help');
  if (more.length > 0) throw new UsageError(`unexpected argument "${more[0]}"; see outband probe --help`);
  const timeoutMs = values.timeout === undefined ? DEFAULT_TIMEOUT_MS : parseDuration(values.timeout);
  if (timeoutMs === undefined || timeoutMs <= 0) throw new UsageError(`--timeout ${values.timeout}: no duration`);
  const { username } = values;
  return {
    address,
    ...(username !== undefined && { account: { username, password: await readPassword(values['password-file']) } }),
    tls: {
      ...(values['ca-file'] !== undefined && { ca_file: values['ca-file'] }),
      ...(values.pin && { spki_sha256: values.pin }),
      ...(values['insecure-skip-verify'] && { insecure_skip_verify: true }),
    },
    ...{ withSession: !values['no-session'], withStream: !values['no-stream'] },
    ...{ timeoutMs, json: values.json ?? false },
  };
}

async function readPassword(file: string | undefined): Promise<Secret> {
  const { OUTBAND_PROBE_PASSWORD: given } = process.env;
  if (file === undefined && given) return new Secret(given);
  if (file === undefined) throw new UsageError('--username needs --password-file or OUTBAND_PROBE_PASSWORD');
  return readSecretFile(file, '--password-file');
}

function parseFlags(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      username: { type: 'string' },
      'password-file': { type: 'string' },
      'ca-file': { type: 'string' },
      pin: { type: 'string', multiple: true },
      'insecure-skip-verify': { type: 'boolean' },
      'no-session': { type: 'boolean' },
      'no-stream': { type: 'boolean' },
      timeout: { type: 'string' },
      json: { type: 'boolean' },
    },
  });
}
