import type { Host } from '../../../src/component/component.ts';
import { deadline } from '../../../src/component/deadline.ts';
import { publicAddress, publicMessage } from '../../../src/component/public-message.ts';
import type { TargetHandle } from '../../../src/component/scheduler.ts';
import type { KeyValue } from '../../../src/component/storage.ts';
import type { TlsContexts } from '../client/tls.ts';
import type { BmcLogsConfig } from '../config.ts';
import { longDigest } from '../digest.ts';
import type { EndpointSettings } from '../endpoint-settings.ts';
import { joinPieces, pieces } from '../pieces.ts';
import { parseEndpointList } from './endpoint-list.ts';
import { type RawList, readEndpointFiles } from './files.ts';
import { readHttpDiscovery } from './http.ts';
import { KeptList } from './kept-list.ts';
import { type Merged, mergeLists, type NamedList } from './merge.ts';

/** Files are compared by content so often; milliseconds. */
const FILE_INTERVAL_MS = 5_000;
const READ_TIMEOUT_MS = 30_000;
/** Before the address of a discovery whose last good list is stored. */
const STORED = '~source/';

export interface SourcesOptions {
  readonly receiver: string;
  readonly config: BmcLogsConfig;
  readonly host: Host;
  readonly contexts: TlsContexts;
  /** Keeps the last good answers of HTTP discoveries: they hold no secrets. */
  readonly store: KeyValue | undefined;
  /** Some list has changed. Called once at the start with what is known then. */
  readonly onChange: (merged: Merged) => void;
  /** A source has become stale, or is no more. */
  readonly onStatus: () => void;
}

interface Source {
  readonly kind: 'file' | 'http';
  /** For people: without secrets. */
  readonly name: string;
  /** Where its last good list is stored. */
  readonly key: string;
  readonly intervalMs: number;
  readonly kept: KeptList;
  readonly read: (signal: AbortSignal) => Promise<RawList>;
  /** Monotonic milliseconds of the last good answer. */
  readAt: number;
  /** Text of the last good answer, to see a change. */
  text: string;
}

/** Where endpoints come from. Each source is a target of the scheduler of its own, so none delays another. */
export class Sources {
  readonly #options: SourcesOptions;
  #sources: Source[] = [];
  #targets: TargetHandle[] = [];
  /** Told once. */
  readonly #conflicts = new Set<string>();

  constructor(options: SourcesOptions) {
    this.#options = options;
  }

  /** Sources whose list in force may be old, with the reason. */
  get stale(): readonly { readonly name: string; readonly error: string }[] {
    return this.#sources.flatMap(({ name, kept: { error } }) => (error === '' ? [] : [{ name, error }]));
  }

  /** Milliseconds since the oldest good answer, per kind of source. */
  get ages(): ReadonlyMap<string, number> {
    const now = this.#options.host.clock.monotonic();
    const ages = new Map<string, number>();
    for (const { kind, readAt } of this.#sources) ages.set(kind, Math.max(ages.get(kind) ?? 0, now - readAt));
    return ages;
  }

  async start(): Promise<void> {
    const { config, host, receiver, store, contexts } = this.#options;
    const now = host.clock.monotonic();
    const stored = joinPieces((await store?.list(STORED)) ?? new Map());
    this.#sources = [
      ...config.endpoint_files.map((pattern) => ({
        ...{ kind: 'file' as const, name: pattern, key: '', intervalMs: FILE_INTERVAL_MS, readAt: now, text: '' },
        kept: new KeptList(),
        read: () => readEndpointFiles(pattern),
      })),
      ...config.http_discovery.map((discovery) => ({
        ...{ kind: 'http' as const, name: publicAddress(discovery.url), key: STORED + longDigest(discovery.url) },
        ...{ intervalMs: discovery.interval, readAt: now, text: '' },
        kept: new KeptList(this.#restore(stored.get(STORED + longDigest(discovery.url)))),
        read: (signal: AbortSignal) => readHttpDiscovery(discovery, host, contexts, signal),
      })),
    ];
    this.#changed();
    this.#targets = this.#sources.map((source, index) =>
      host.scheduler(config.scheduler).register(
        {
          type: 'bmc-source',
          name: `${receiver}::${index}`,
          connection: source.name,
          run: async (signal) => {
            await this.#read(source, signal);
            return {};
          },
        },
        { interval: source.intervalMs, timeout: READ_TIMEOUT_MS * 2, firstRun: 'now', internal: true },
      ),
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.#targets.map((target) => target.unregister()));
  }

  #restore(text: string | undefined): EndpointSettings[] | undefined {
    try {
      if (text === undefined) return undefined;
      return parseEndpointList(JSON.parse(text), this.#options.config, { groupsOnly: true });
    } catch {
      return undefined;
    }
  }

  async #read(source: Source, signal: AbortSignal): Promise<void> {
    const { config, host, store } = this.#options;
    using limit = deadline(host.clock, READ_TIMEOUT_MS, 'the source of endpoints', signal);
    const { list: before, error: hadError } = source.kept;
    try {
      const raw = await source.read(limit.signal);
      source.readAt = host.clock.monotonic();
      if (raw.text === source.text && source.kept.isSettled) return;
      source.text = '';
      source.kept.take({ list: parseEndpointList(raw.parse(), config, { groupsOnly: source.kind === 'http' }) });
      source.text = raw.text;
      const isInForce = source.kept.list !== before;
      if (source.kind === 'http' && isInForce)
        await store?.set(Object.fromEntries(pieces(source.key, raw.text))).catch(() => {});
    } catch (error) {
      if (signal.aborted) return;
      const isNew = source.kept.take({ error: publicMessage(error) });
      if (isNew)
        host.logger.warn('a source of endpoints cannot be used; its last good list stays', {
          source: source.name,
          error,
        });
    }
    if (hadError !== '' && source.kept.error === '')
      host.logger.info('a source of endpoints is read again', { source: source.name });
    if (source.kept.list !== before) this.#changed();
    else if (hadError !== source.kept.error) this.#options.onStatus();
  }

  #changed(): void {
    const { config, host, onChange } = this.#options;
    const lists: NamedList[] = [
      { name: 'endpoints', list: config.endpoints },
      ...this.#sources.map(({ name, kept }) => ({ name, list: kept.list ?? [] })),
    ];
    const merged = mergeLists(lists);
    for (const { endpoint, source } of merged.conflicts) {
      if (this.#conflicts.has(endpoint)) continue;
      this.#conflicts.add(endpoint);
      host.logger.warn('two sources name the same endpoint; the earlier one counts', { endpoint, source });
    }
    onChange(merged);
  }
}
