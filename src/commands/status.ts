import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { request } from 'undici';
import { describeError, OutbandError } from '../component/errors.ts';
import { parseDuration } from '../config/schema/duration.ts';
import { systemClock } from '../platform/system-clock.ts';
import { UsageError } from '../usage-error.ts';
import { type HealthView, onlyFailing, statusTable } from './status-table.ts';

export const STATUS_USAGE = `Usage: outband status [flags]

  --endpoint URL      the monitoring API, http://localhost:7655; with --check the health check, http://localhost:13133
  --token-file FILE   holds a token of the monitoring API
  --failing           only targets that fail, are late, or whose breaker is not closed
  --watch [2s]        again and again; in place on a terminal
  --json              machine-readable output
  --check             prints nothing and asks /livez, for a container's health check
`;

const API = 'http://localhost:7655';
const HEALTH_CHECK = 'http://localhost:13133';
const TIMEOUT_MS = 10_000;
const DEFAULT_WIDTH = 120;
/** To the top left corner, and nothing below. */
const CLEAR = '\x1b[H\x1b[2J';

/**
 * `outband status`: what a running agent says about its targets.
 * @returns the exit code
 * @throws OutbandError `agent_unreachable` when it cannot be asked
 */
export async function runStatusCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(STATUS_USAGE);
    return 0;
  }
  const { check, watchMs, ...flags } = parse(args);
  if (check) return isAlive(flags.endpoint ?? HEALTH_CHECK);
  const isInPlace = watchMs !== undefined && process.stdout.isTTY;
  for (let isFirst = true; ; isFirst = false) {
    // Whoever watches wants to see the agent come back.
    const shown = await show(flags).catch((error: unknown) => {
      if (watchMs === undefined || isFirst) throw error;
      return describeError(error);
    });
    process.stdout.write(`${isInPlace ? CLEAR : ''}${shown}\n`);
    if (watchMs === undefined) return 0;
    await systemClock.sleep(watchMs);
  }
}

interface Flags {
  readonly endpoint?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly failing: boolean;
  readonly json: boolean;
}

async function show({ endpoint = API, tokenFile, failing, json }: Flags): Promise<string> {
  const token = tokenFile === undefined ? undefined : firstToken(await readToken(tokenFile));
  const { status, text } = await get(`${endpoint}/api/monitoring/scheduler/health`, token);
  if (status !== 200) {
    const hint = status === 401 ? 'Give a token of the monitoring API with --token-file.' : undefined;
    throw new OutbandError('agent_unreachable', `${endpoint} answered ${status}`, hint === undefined ? {} : { hint });
  }
  const health = JSON.parse(text) as HealthView;
  if (json) return JSON.stringify({ version: 1, ...(failing ? onlyFailing(health) : health) });
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
    const { statusCode, body } = await request(url, {
      ...{ headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS, reset: true },
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
    return { status: statusCode, text: await body.text() };
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

function parse(args: readonly string[]) {
  let values: ReturnType<typeof parseFlags>;
  try {
    values = parseFlags(withWatchValue(args));
  } catch (error) {
    throw new UsageError(`${describeError(error).split('. ')[0]}; see outband status --help`);
  }
  const { endpoint, 'token-file': tokenFile, failing = false, json = false, check = false, watch } = values;
  const watchMs = watch === undefined ? undefined : parseDuration(watch);
  if (watch !== undefined && !(watchMs! > 0)) throw new UsageError(`--watch ${watch}: expected a duration like 2s`);
  if (endpoint !== undefined && !URL.canParse(endpoint)) throw new UsageError(`--endpoint ${endpoint}: expected a URL`);
  return { endpoint: endpoint?.replace(/\/+$/, ''), tokenFile, failing, json, check, watchMs };
}

/** `--watch` alone means every two seconds. */
function withWatchValue(args: readonly string[]): string[] {
  return args.flatMap((arg, index) => {
    const next = args[index + 1];
    return arg === '--watch' && (next === undefined || next.startsWith('-')) ? ['--watch', '2s'] : [arg];
  });
}

function parseFlags(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: {
      endpoint: { type: 'string' },
      'token-file': { type: 'string' },
      failing: { type: 'boolean' },
      watch: { type: 'string' },
      json: { type: 'boolean' },
      check: { type: 'boolean' },
    },
  }).values;
}
