import { JsonLogsSerializer } from '@opentelemetry/otlp-transformer';
import { OutbandError } from '../component/errors.ts';
import { DEAD_LETTER_REASONS, type DeadLetterReason } from '../component/storage.ts';
import type { AgentConfig } from '../config/agent-config.ts';
import { parseDuration } from '../config/schema/duration.ts';
import { suggest } from '../config/suggest.ts';
import type { DeadLetterFilter, DeadLetterRow } from '../extensions/file-storage/database.ts';
import { DeadLetterTool } from '../extensions/file-storage/dead-letter-tool.ts';
import type { FileStorageConfig } from '../extensions/file-storage/index.ts';
import { systemClock } from '../platform/system-clock.ts';
import { escapeForTerminal } from '../telemetry/escape.ts';
import { decodeContext, decodeRecord } from '../telemetry/record-codec.ts';
import { CONFIG_FLAGS, defineCommand, type FlagValues, UsageError } from './command.ts';
import { readConfig } from './read-config.ts';

const ACTIONS = ['list', 'show', 'redrive', 'drop'] as const;

const FLAGS = {
  ...CONFIG_FLAGS,
  exporter: { type: 'string', value: 'ID', help: 'records of this exporter' },
  reason: { type: 'string', value: 'WORD', help: 'records that were set aside for this' },
  since: { type: 'string', value: '1h', help: 'records that were set aside since' },
  limit: { type: 'string', value: 'N', help: 'rows to list, 100' },
  json: { type: 'boolean', help: 'machine-readable output' },
  yes: { type: 'boolean', help: 'redrive or drop all that --exporter, --reason and --since choose' },
  'allow-duplicates': { type: 'boolean', help: 'redrive also what the backend may have taken' },
  queued: {
    type: 'boolean',
    help: 'drop what is queued for an exporter that is not configured any more; the agent must be stopped',
  },
  storage: { type: 'string', value: 'ID', help: 'which store, when there are several' },
} as const;
type Flags = FlagValues<typeof FLAGS>;

/** `outband dlq`: looks at and moves dead letters, beside a running agent or without one. */
export const command = defineCommand({
  args: 'list|show|redrive|drop [ids]',
  about: `  list           totals per exporter and reason, then the records, oldest first
  show ID        one record as OTLP JSON
  redrive [ids]  puts records back into the queue of their exporter
  drop [ids]     removes records for good`,
  flags: FLAGS,
  run: async ({ flags, args }) => {
    await deadLetters(flags, args);
    return 0;
  },
});

async function deadLetters(flags: Flags, args: readonly string[]): Promise<void> {
  const { action, ids } = parse(flags, args);
  const { config } = await readConfig(flags);
  const tool = new DeadLetterTool(storeOf(config, flags.storage), systemClock);
  if (flags.queued) return dropQueued(tool, config, action, ids, flags);
  const filter = filterOf(ids, flags);
  switch (action) {
    case 'list':
      return list(tool, filter, limitOf(flags.limit), flags.json ?? false);
    case 'show':
      return show(tool, ids, flags.json ?? false);
    default:
      return change(tool, action, filter, flags);
  }
}

function list(tool: DeadLetterTool, filter: DeadLetterFilter, limit: number, json: boolean): void {
  const totals = tool.totals();
  const rows = [...tool.list(filter, limit)];
  if (json) {
    const { stdout } = process;
    stdout.write(`${JSON.stringify({ version: 1, totals, records: rows.map(summary) })}\n`);
    return;
  }
  for (const { exporter, reason, records, bytes, oldest_ms, newest_ms } of totals)
    print(`${exporter}  ${reason}  ${records} records, ${bytes} bytes, ${time(oldest_ms)} to ${time(newest_ms)}`);
  if (totals.length === 0) print('no dead letters');
  if (rows.length > 0) print('');
  for (const row of rows) {
    const group = row.group_id === null ? '' : `  (${row.group_rejected} of ${row.group_size} refused)`;
    const status = row.status === null ? '' : ` ${row.status}`;
    print(
      `${row.id}  ${time(row.last_ms)}  ${row.exporter}  ${row.reason}${status}${group}  ${targetOf(row)}  ${row.message}`,
    );
  }
}

/** What waits for an exporter is dropped only when nobody will send it any more. */
function dropQueued(
  tool: DeadLetterTool,
  config: AgentConfig,
  action: string,
  ids: readonly number[],
  { exporter, yes, reason, since, json }: Flags,
): void {
  if (
    action !== 'drop' ||
    exporter === undefined ||
    !yes ||
    ids.length > 0 ||
    reason !== undefined ||
    since !== undefined
  )
    throw new UsageError(
      '--queued goes with drop --exporter ID --yes, and with nothing else: it drops all that is queued',
    );
  // One that no pipeline names is checked and not made: it sends nothing.
  if (config.pipelines.some(({ exporters }) => exporters.includes(exporter)))
    throw new UsageError(
      `--queued: exporter "${exporter}" is configured and sends what is queued; it is for one that is not`,
    );
  const dropped = tool.dropQueued(exporter);
  if (json) process.stdout.write(`${JSON.stringify({ version: 1, drop: dropped })}\n`);
  else print(`${dropped} dropped`);
}

function show(tool: DeadLetterTool, ids: readonly number[], json: boolean): void {
  const [row] = tool.list({ only: ids[0]! }, 1);
  if (!row) throw new OutbandError('dead_letter_gone', `no dead letter has the id ${ids[0]}`);
  const text = otlpJson(row) ?? row.body;
  if (json) process.stdout.write(`${JSON.stringify({ version: 1, ...summary(row), record: parsed(text) })}\n`);
  else {
    print(JSON.stringify(summary(row)));
    print(text);
  }
}

/** Undefined: what is stored is no record any more. */
function otlpJson({ body, context }: DeadLetterRow): string | undefined {
  try {
    const record = decodeRecord(body, decodeContext(context));
    return Buffer.from(JsonLogsSerializer.serializeRequest([record])!).toString('utf8');
  } catch {
    return undefined;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

async function change(
  tool: DeadLetterTool,
  action: 'redrive' | 'drop',
  filter: DeadLetterFilter,
  flags: Flags,
): Promise<void> {
  const { done, kept } = await tool.change({ action, filter, allowDuplicates: flags['allow-duplicates'] ?? false });
  const what = action === 'redrive' ? 'put back into the queue' : 'dropped';
  const left = Object.entries(kept);
  if (flags.json) process.stdout.write(`${JSON.stringify({ version: 1, [action]: done, kept })}\n`);
  else {
    print(done === 0 && left.length === 0 ? '0 matched' : `${done} ${what}`);
    for (const [reason, records] of left)
      print(
        reason === 'corrupt'
          ? `${records} corrupt stay: they can be shown and dropped only`
          : `${records} ${reason} stay: the backend may have taken them; --allow-duplicates sends them again`,
      );
  }
}

function parse(flags: Flags, [action, ...rest]: readonly string[]) {
  const known = ACTIONS.find((one) => one === action);
  if (!known)
    throw new UsageError(
      action === undefined
        ? 'list, show, redrive or drop? see outband dlq --help'
        : `unknown action "${action}" ${suggest(action, ACTIONS)}; see outband dlq --help`,
    );
  const ids = rest.map(Number);
  if (ids.some((id) => !Number.isSafeInteger(id) || id < 1))
    throw new UsageError('ids are numbers; see outband dlq list');
  if (flags.config === undefined) throw new UsageError('no configuration: outband dlq list --config otel-config.yaml');
  if (known === 'show' && ids.length !== 1) throw new UsageError('show takes one id');
  const filters = [flags.exporter, flags.reason, flags.since].some((flag) => flag !== undefined);
  if ((known === 'redrive' || known === 'drop') && ids.length === 0 && !flags.queued && !(filters && flags.yes))
    throw new UsageError(`${known} needs ids, or a filter and --yes`);
  return { action: known, ids };
}

function limitOf(text = '100'): number {
  const limit = Number(text);
  if (!Number.isSafeInteger(limit) || limit < 1) throw new UsageError(`--limit takes a number, not "${text}"`);
  return limit;
}

function filterOf(ids: readonly number[], { exporter, reason, since }: Flags): DeadLetterFilter {
  if (reason !== undefined && !DEAD_LETTER_REASONS.some((known) => known === reason))
    throw new UsageError(`unknown reason "${reason}" ${suggest(reason, DEAD_LETTER_REASONS)}`);
  const ago = since === undefined ? undefined : parseDuration(since);
  if (since !== undefined && ago === undefined)
    throw new UsageError(`--since takes a duration like 1h, not "${since}"`);
  const nowMs = Number(systemClock.now() / 1_000_000n);
  return {
    ...(ids.length > 0 && { ids }),
    ...(exporter !== undefined && { exporter }),
    ...(reason !== undefined && { reason: reason as DeadLetterReason }),
    ...(ago !== undefined && { sinceMs: nowMs - ago }),
  };
}

function storeOf(config: AgentConfig, wanted: string | undefined): { directory: string; maxBytes: number } {
  const stores = config.service.extensions.filter((key) => config.extensions.get(key)?.factory.type === 'file_storage');
  const key = wanted ?? stores[0];
  if (wanted === undefined && stores.length > 1)
    throw new UsageError(`several stores are configured: --storage ${stores.join(' or ')}`);
  if (key === undefined || !stores.includes(key))
    throw new UsageError(key === undefined ? 'no file_storage is configured' : `no store "${key}" is configured`);
  const { directory, max_bytes } = config.extensions.get(key)!.config as FileStorageConfig;
  return { directory, maxBytes: max_bytes };
}

/** A row without its body. */
function summary(row: DeadLetterRow) {
  const { body: _, context, ...rest } = row;
  return { ...rest, target: targetOf({ context }) };
}

function targetOf({ context }: Pick<DeadLetterRow, 'context'>): string {
  try {
    const { origin } = decodeContext(context);
    return origin ? `${origin.receiver} ${origin.target}` : '-';
  } catch {
    return '-';
  }
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}

/** Records hold remote text. */
function print(line: string): void {
  process.stdout.write(`${escapeForTerminal(line)}\n`);
}
