import { builtins } from '../builtins.ts';
import { deadline } from '../component/deadline.ts';
import { describeError, OutbandError } from '../component/errors.ts';
import type { Finding, ProbeOptions } from '../component/factory.ts';
import { Secret } from '../component/secret.ts';
import { readSecretFile } from '../component/secret-file.ts';
import { parseDuration } from '../config/schema/duration.ts';
import { systemClock } from '../platform/system-clock.ts';
import { escapeForTerminal } from '../telemetry/escape.ts';
import { defineCommand, type FlagValues, UsageError } from './command.ts';

const DEFAULT_TIMEOUT_MS = 60_000;

const FLAGS = {
  username: {
    type: 'string',
    value: 'NAME',
    help: 'account; its password is read from --password-file or $OUTBAND_PROBE_PASSWORD',
  },
  'password-file': { type: 'string', value: 'FILE', help: 'holds the password' },
  'ca-file': { type: 'string', value: 'FILE', help: 'certificate authorities to trust, PEM' },
  pin: { type: 'string', multiple: true, value: 'HASH', help: 'SHA-256 of a public key to accept; may be repeated' },
  'insecure-skip-verify': { type: 'boolean', help: 'accepts any certificate' },
  'no-session': { type: 'boolean', help: 'HTTP Basic instead of a Redfish session' },
  'no-stream': { type: 'boolean', help: 'does not try the stream' },
  timeout: { type: 'string', value: '60s', help: 'ends the probe' },
  json: { type: 'boolean', help: 'machine-readable output' },
} as const;

/** `outband probe URL`: what a receiver finds out about one peer, as it finds it out. It ends with 1 when something fails. */
export const command = defineCommand({
  args: 'https://BMC',
  about: `What the receiver bmc_logs would make of one BMC, and why: tls, root, auth, events, stream, mode, logs, and a block of
configuration to paste. It leaves nothing behind.`,
  flags: FLAGS,
  run: async ({ flags, args }) => probe(await optionsOf(flags, args), flags.json ?? false),
});

type Options = Omit<ProbeOptions, 'clock' | 'signal'> & { readonly timeoutMs: number };

async function probe({ timeoutMs, ...options }: Options, json: boolean): Promise<number> {
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

/** A block stands below its line, at the margin, so that it can be pasted. What a BMC says stays on its line. */
function lineOf({ topic, verdict, text, block }: Finding): string {
  const head = `${topic.padEnd(7)} ${verdict.toUpperCase().padEnd(4)} `;
  const below = block === undefined ? '' : `${block.split('\n').map(escapeForTerminal).join('\n')}\n`;
  return `${head} ${escapeForTerminal(text)}\n${below}`;
}

async function optionsOf(flags: FlagValues<typeof FLAGS>, args: readonly string[]): Promise<Options> {
  const [address, ...more] = args;
  if (address === undefined) throw new UsageError('which BMC? outband probe https://BMC; see outband probe --help');
  if (more.length > 0) throw new UsageError(`unexpected argument "${more[0]}"; see outband probe --help`);
  const timeoutMs = flags.timeout === undefined ? DEFAULT_TIMEOUT_MS : parseDuration(flags.timeout);
  if (timeoutMs === undefined || timeoutMs <= 0) throw new UsageError(`--timeout ${flags.timeout}: no duration`);
  const { username } = flags;
  return {
    address,
    ...(username !== undefined && { account: { username, password: await readPassword(flags['password-file']) } }),
    tls: {
      ...(flags['ca-file'] !== undefined && { ca_file: flags['ca-file'] }),
      ...(flags.pin && { spki_sha256: flags.pin }),
      ...(flags['insecure-skip-verify'] && { insecure_skip_verify: true }),
    },
    ...{ withSession: !flags['no-session'], withStream: !flags['no-stream'], timeoutMs },
  };
}

async function readPassword(file: string | undefined): Promise<Secret> {
  const { OUTBAND_PROBE_PASSWORD: given } = process.env;
  if (file === undefined && given) return new Secret(given);
  if (file === undefined) throw new UsageError('--username needs --password-file or OUTBAND_PROBE_PASSWORD');
  return readSecretFile(file, '--password-file');
}
