import { readFile } from 'node:fs/promises';
import { request } from 'undici';
import { deadline } from '../component/deadline.ts';
import { describeError, OutbandError } from '../component/errors.ts';
import { parseDuration } from '../config/schema/duration.ts';
import { systemClock } from '../platform/system-clock.ts';
import { defineCommand, type FlagValues, UsageError } from './command.ts';

const API = 'http://localhost:7655';
const HEALTH_CHECK = 'http://localhost:13133';
/** Of a question, from its first byte to the last of its answer. */
const TIMEOUT_MS = 10_000;
/** A hundred thousand targets have less. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
const DEFAULT_WIDTH = 120;
const FORMAT = { version: 1 };
/** To the top left corner, and nothing below. */
const CLEAR = '\x1b[H\x1b[2J';

const FLAGS = {
  endpoint: {
    type: 'string',
    value: 'URL',
    help: `the monitoring API, ${API}; with --check the health check, ${HEALTH_CHECK}`,
  },
  'token-file': { type: 'string', value: 'FILE', help: 'holds a token of the monitoring API' },
  failing: { type: 'boolean', help: 'only targets that fail, are late, or whose breaker is not closed' },
  watch: { type: 'string', alone: '2s', help: 'again and again; in place on a terminal' },
  json: { type: 'boolean', help: 'machine-readable output' },
  check: { type: 'boolean', help: "prints nothing and asks /livez, for a container's health check" },
} as const;

/** `outband status`: what a running agent says about its targets. */
export const command = defineCommand({ flags: FLAGS, run: ({ flags }) => status(optionsOf(flags)) });

interface Options {
  readonly endpoint?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly failing: boolean;
  readonly json: boolean;
  readonly check: boolean;
  readonly watchMs?: number | undefined;
}

async function status({ check, watchMs, ...options }: Options): Promise<number> {
  if (check) return isAlive(options.endpoint ?? HEALTH_CHECK);
  const isInPlace = watchMs !== undefined && process.stdout.isTTY;
  for (let isFirst = true; ; isFirst = false) {
    // Whoever watches wants to see the agent come back.
    const shown = await show(options).catch((error: unknown) => {
      if (watchMs === undefined || isFirst) throw error;
      return describeError(error);
    });
    process.stdout.write(`${isInPlace ? CLEAR : ''}${shown}\n`);
    if (watchMs === undefined || !process.stdout.writable) return 0;
    await systemClock.sleep(watchMs);
  }
}

async function show({ endpoint = API, tokenFile, failing, json }: Omit<Options, 'check' | 'watchMs'>): Promise<string> {
  const token = tokenFile === undefined ? undefined : firstToken(await readToken(tokenFile));
  const { status, text } = await get(`${endpoint}/api/monitoring/scheduler/health`, token);
  if (status !== 200) {
    const hint = status === 401 ? 'Give a token of the monitoring API with --token-file.' : undefined;
    throw new OutbandError('agent_unreachable', `${endpoint} answered ${status}`, hint === undefined ? {} : { hint });
  }
  // Loaded by those who look: a container's health check runs every few seconds.
  const { onlyFailing, readHealth, statusTable } = await import('./status-table.ts');
  const health = readHealth(text);
  if (!health)
    throw new OutbandError('agent_unreachable', `${endpoint} answered something that is no health of a scheduler`);
  if (json) return JSON.stringify({ ...FORMAT, ...(failing ? onlyFailing(health) : health), ...FORMAT });
  return statusTable(health, process.stdout.columns ?? DEFAULT_WIDTH, failing);
}

async function isAlive(endpoint: string): Promise<number> {
  return get(`${endpoint}/livez`, undefined).then(
    ({ status }) => (status === 200 ? 0 : 1),
    () => 1,
  );
}

async function get(
  url: string,
  token: string | undefined,
): Promise<{ readonly status: number; readonly text: string }> {
  try {
    using limit = deadline(systemClock, TIMEOUT_MS, 'the answer');
    const { statusCode, body } = await request(url, {
      ...{ signal: limit.signal, reset: true },
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(chunk);
    }
    return { status: statusCode, text: Buffer.concat(chunks).toString('utf8') };
  } catch (cause) {
    throw new OutbandError('agent_unreachable', `${url} cannot be reached: ${describeError(cause)}`, { cause });
  }
}

async function readToken(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new OutbandError('config_source', `--token-file: cannot read ${file}`, { cause });
  }
}

/** A line is a token, or a name with a colon and the token behind it. */
function firstToken(text: string): string {
  return text
    .split('\n')[0]!
    .trim()
    .replace(/^[^:\s]+:\s*/, '');
}

function optionsOf(flags: FlagValues<typeof FLAGS>): Options {
  const { endpoint, 'token-file': tokenFile, failing = false, json = false, check = false, watch } = flags;
  const watchMs = watch === undefined ? undefined : parseDuration(watch);
  if (watch !== undefined && !(watchMs! > 0)) throw new UsageError(`--watch ${watch}: expected a duration like 2s`);
  if (endpoint !== undefined && !URL.canParse(endpoint)) throw new UsageError(`--endpoint ${endpoint}: expected a URL`);
  if (endpoint !== undefined && new URL(endpoint).username + new URL(endpoint).password !== '')
    throw new UsageError('--endpoint: no account belongs into a URL; give a token with --token-file');
  return { endpoint: endpoint?.replace(/\/+$/, ''), tokenFile, failing, json, check, watchMs };
}
