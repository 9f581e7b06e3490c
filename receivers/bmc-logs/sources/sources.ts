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
import { findFiles, type RawList, readEndpointFile } from './files.ts';
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
  /** Where its last good list is stored; "" for a file, which holds secrets. */
  readonly key: string;
  readonly kept: KeptList;
  readonly read: (signal: AbortSignal) => Promise<RawList>;
  /** Monotonic milliseconds of the last good answer. */
  readAt: number;
  /** Text of the last good answer, to see a change. */
  text: string;
}

/** What is read together: a discovery, or all files that a glob names, each judged by itself. */
interface Group {
  readonly name: string;
  readonly intervalMs: number;
  /** Its sources now. */
  find(): Promise<readonly Source[]>;
}

/** Where endpoints come from. Each source is a target of the scheduler of its own, so none delays another. */
export class Sources {
  readonly #options: SourcesOptions;
  #groups: (readonly Source[])[] = [];
  #targets: TargetHandle[] = [];
  /** Told once. */
  readonly #conflicts = new Set<string>();

  constructor(options: SourcesOptions) {
    this.#options = options;
  }

  /** Sources whose list in force may be old, with the reason. */
  get stale(): readonly { readonly name: string; readonly error: string }[] {
    return this.#groups.flat().flatMap(({ name, kept: { error } }) => (error === '' ? [] : [{ name, error }]));
  }

  /** Milliseconds since the oldest good answer, per kind of source. */
  get ages(): ReadonlyMap<string, number> {
    const now = this.#options.host.clock.monotonic();
    const ages = new Map<string, number>();
    for (const { kind, readAt } of this.#groups.flat()) ages.set(kind, Math.max(ages.get(kind) ?? 0, now - readAt));
    return ages;
  }

  async start(): Promise<void> {
    const { config, host, receiver, store, contexts } = this.#options;
    const stored = joinPieces((await store?.list(STORED)) ?? new Map());
    const groups: Group[] = [
      ...config.endpoint_files.map((pattern) => this.#filesOf(pattern)),
      ...config.http_discovery.map((discovery) => {
        const key = STORED + longDigest(discovery.url);
        const source = this.#source(
          'http',
          publicAddress(discovery.url),
          key,
          this.#restore(stored.get(key)),
          (signal) => readHttpDiscovery(discovery, host, contexts, signal),
        );
        return { name: source.name, intervalMs: discovery.interval, find: async () => [source] };
      }),
    ];
    this.#groups = groups.map(() => []);
    this.#changed();
    this.#targets = groups.map((group, index) =>
      host.scheduler(config.scheduler).register(
        {
          type: 'bmc-source',
          name: `${receiver}::${index}`,
          connection: group.name,
          run: async (signal) => {
            await this.#readGroup(group, index, signal);
            return {};
          },
        },
        { interval: group.intervalMs, timeout: READ_TIMEOUT_MS * 2, firstRun: 'now', internal: true },
      ),
    );
  }

  /** The files of a glob come and go. */
  #filesOf(pattern: string): Group {
    const known = new Map<string, Source>();
    const find = async () => {
      const paths = await findFiles(pattern);
      for (const path of known.keys()) if (!paths.includes(path)) known.delete(path);
      for (const path of paths)
        if (!known.has(path))
          known.set(
            path,
            this.#source('file', path, '', undefined, () => readEndpointFile(path)),
          );
      return [...known.values()];
    };
    return { name: pattern, intervalMs: FILE_INTERVAL_MS, find };
  }

  #source(
    kind: Source['kind'],
    name: string,
    key: string,
    stored: EndpointSettings[] | undefined,
    read: Source['read'],
  ): Source {
    return {
      kind,
      name,
      key,
      kept: new KeptList(stored),
      read,
      readAt: this.#options.host.clock.monotonic(),
      text: '',
    };
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

  async #readGroup(group: Group, index: number, signal: AbortSignal): Promise<void> {
    const before = this.#groups[index]!;
    const sources = await group.find();
    const lists = new Map(sources.map((source) => [source, source.kept.list]));
    const errors = new Map(sources.map((source) => [source, source.kept.error]));
    await Promise.all(sources.map((source) => this.#read(source, signal)));
    this.#groups[index] = sources;
    const isOther = sources.length !== before.length || sources.some((source, n) => source !== before[n]);
    if (isOther || sources.some((source) => source.kept.list !== lists.get(source))) this.#changed();
    else if (sources.some((source) => source.kept.error !== errors.get(source))) this.#options.onStatus();
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
      const options = { groupsOnly: source.kind === 'http', placeOf: raw.placeOf };
      source.kept.take({ list: parseEndpointList(raw.parse(), config, options) });
      source.text = raw.text;
      if (source.key !== '' && source.kept.list !== before)
        await store?.set(Object.fromEntries(pieces(source.key, raw.text))).catch(() => {});
    } catch (error) {
      if (signal.aborted) return;
      const isNew = source.kept.take({ error: publicMessage(error) });
      const endpoints = source.kept.list?.length ?? 0;
      if (isNew)
        host.logger.warn(
          endpoints > 0
            ? 'a source of endpoints cannot be used; its last good list stays'
            : 'a source of endpoints cannot be used, and there is no earlier list of it',
          { source: source.name, endpoints, error },
        );
    }
    if (hadError !== '' && source.kept.error === '')
      host.logger.info('a source of endpoints is read again', { source: source.name });
  }

  #changed(): void {
    const { config, host, onChange } = this.#options;
    const lists: NamedList[] = [
      { name: 'endpoints', list: config.endpoints },
      ...this.#groups.flat().map(({ name, kept }) => ({ name, list: kept.list ?? [] })),
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
