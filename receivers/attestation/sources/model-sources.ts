import type { Host } from '../../../src/component/component.ts';
import type { TargetHandle } from '../../../src/component/scheduler.ts';
import type { AttestationConfig, ModelSettings, SourceSettings } from '../config.ts';
import { readSource, type SourceAnswer } from './read-source.ts';

const READ_TIMEOUT_MS = 30_000;

/** What a read of a source has changed. */
export interface SourceNews {
  /** Name of the source. */
  readonly source: string;
  readonly total: number;
  readonly added: number;
  readonly removed: number;
  readonly unchanged: number;
  /** Set when the read failed, at the first time in a row only. */
  readonly error?: string;
}

export interface SourceView {
  readonly name: string;
  readonly models: number;
  /** Milliseconds since the last good answer; undefined before the first. */
  readonly ageMs: number | undefined;
  /** Why its list may be old; "" when it is not. */
  readonly error: string;
}

interface Source {
  readonly settings: SourceSettings;
  models: readonly ModelSettings[];
  etag: string | undefined;
  /** When it answered last. */
  readAt: number | undefined;
  error: string;
}

/** Where models come from beside the configuration. A source that is down, or wrong in any item, leaves its last good list in force. */
export class ModelSources {
  readonly #config: AttestationConfig;
  readonly #host: Host;
  readonly #receiver: string;
  readonly #sources: Source[];
  readonly #onRead: (news: SourceNews) => void;
  #targets: TargetHandle[] = [];

  /** @param onRead called after every read, whatever came of it, unless it failed again */
  constructor(receiver: string, config: AttestationConfig, host: Host, onRead: (news: SourceNews) => void) {
    this.#receiver = receiver;
    this.#config = config;
    this.#host = host;
    this.#onRead = onRead;
    this.#sources = config.sources.map((settings) => ({
      ...{ settings, models: [], etag: undefined, readAt: undefined, error: '' },
    }));
  }

  get models(): readonly ModelSettings[] {
    return this.#sources.flatMap(({ models }) => models);
  }

  /** Whether each source has answered at least once: until then it may name what nobody else does. */
  get haveAllAnswered(): boolean {
    return this.#sources.every(({ readAt }) => readAt !== undefined);
  }

  get views(): readonly SourceView[] {
    const now = this.#host.clock.monotonic();
    return this.#sources.map(({ settings, models, readAt, error }, index) => ({
      name: nameOf(settings, index),
      models: models.length,
      ageMs: readAt === undefined ? undefined : now - readAt,
      error,
    }));
  }

  start(): void {
    this.#targets = this.#sources.map((source, index) =>
      this.#host.scheduler(this.#config.scheduler).register(
        {
          ...{
            type: 'attestation-source',
            name: `${this.#receiver}::${index}`,
            connection: nameOf(source.settings, index),
          },
          run: async (signal) => {
            this.#take(
              source,
              index,
              await readSource(source.settings, source.etag, { config: this.#config, host: this.#host, signal }),
              signal,
            );
            return {};
          },
        },
        { interval: source.settings.interval, timeout: READ_TIMEOUT_MS, firstRun: 'now', internal: true },
      ),
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.#targets.map((target) => target.unregister()));
  }

  #take(source: Source, index: number, answer: SourceAnswer, signal: AbortSignal): void {
    if (signal.aborted) return;
    const before = source.models;
    const counts = {
      source: nameOf(source.settings, index),
      total: before.length,
      added: 0,
      removed: 0,
      unchanged: before.length,
    };
    if (answer === 'unchanged') {
      source.readAt = this.#host.clock.monotonic();
      source.error = '';
      return this.#onRead(counts);
    }
    const isRefused =
      'models' in answer && answer.models.length === 0 && before.length > 0 && !source.settings.allow_empty;
    const error = 'error' in answer ? answer.error : isRefused ? 'its list is empty, and was not before' : '';
    if (error !== '' || 'error' in answer) {
      const isFirst = source.error === '';
      source.error = error;
      if (isFirst) this.#onRead({ ...counts, error });
      return;
    }
    source.error = '';
    source.readAt = this.#host.clock.monotonic();
    source.etag = answer.etag;
    source.models = answer.models;
    const was = new Set(before.map((one) => JSON.stringify(one)));
    const is = new Set(answer.models.map((one) => JSON.stringify(one)));
    const unchanged = [...is].filter((one) => was.has(one)).length;
    this.#onRead({ ...counts, total: is.size, added: is.size - unchanged, removed: was.size - unchanged, unchanged });
  }
}

/** Neither path nor URL: a name is a label of metrics and stands on pages. */
function nameOf({ file }: SourceSettings, index: number): string {
  return `${file === undefined ? 'http' : 'file'}-${index}`;
}
