import { open, readFile, rename } from 'node:fs/promises';
import type { LogFields } from '../../../src/component/component.ts';
import { isObject, type Json } from '../json.ts';

/** Readers of these files keep the last Id in 31 bits. */
const ID_LIMIT = 2n ** 31n;

/**
 * The file in which other tools keep the last Id of each log of a machine: read once, by whoever comes from them, and kept
 * up to date for whoever goes back.
 */
export class StateFile {
  readonly #path: string;
  readonly #onTrouble: (message: string, fields: LogFields) => void;
  #written = '';
  #wanted: string | undefined;
  #writing: Promise<void> | undefined;
  #hasFailed = false;

  /**
   * @param template path that holds `{machine_id}`
   * @param onTrouble called once per lasting fault of the file; collection goes on
   */
  constructor(template: string, machineId: string, onTrouble: (message: string, fields: LogFields) => void) {
    this.#path = template.replaceAll('{machine_id}', fileSafe(machineId));
    this.#onTrouble = onTrouble;
  }

  /** Last Ids by log service; undefined when there is no file, or none that can be read. */
  async read(): Promise<ReadonlyMap<string, number> | undefined> {
    try {
      const parsed = JSON.parse(await readFile(this.#path, 'utf8')) as Json;
      const ids = isObject(parsed) && isObject(parsed.last_seen_ids) ? parsed.last_seen_ids : undefined;
      if (!ids) throw new Error('no last_seen_ids');
      const known = Object.entries(ids).filter((entry): entry is [string, number] => Number.isInteger(entry[1]));
      return new Map(known.map(([service, id]) => [service.replace(/\/+$/, ''), id]));
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOENT')
        this.#onTrouble('logs_state_file cannot be read; the logs are read as if there were none', {
          file: this.#path,
          error,
        });
      return undefined;
    }
  }

  /** Writes soon; of several calls in a row the last counts. @param lastIds of each log service */
  write(lastIds: ReadonlyMap<string, bigint>): void {
    const ids = [...lastIds].filter(([, id]) => id < ID_LIMIT).map(([service, id]) => [service, Number(id)] as const);
    const text = `${JSON.stringify({ last_seen_ids: Object.fromEntries(ids) })}\n`;
    if (text === this.#written && this.#wanted === undefined) return;
    this.#wanted = text;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  }

  async close(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#wanted !== undefined) {
      const text = this.#wanted;
      this.#wanted = undefined;
      try {
        const temporary = `${this.#path}.tmp`;
        const file = await open(temporary, 'w', 0o600);
        try {
          // A file that was left behind keeps its mode.
          await file.chmod(0o600);
          await file.writeFile(text);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(temporary, this.#path);
        this.#written = text;
        this.#hasFailed = false;
      } catch (error) {
        if (!this.#hasFailed) this.#onTrouble('logs_state_file cannot be written', { file: this.#path, error });
        this.#hasFailed = true;
      }
    }
  }
}

/** No separator, no leading dot, nothing that a shell would take amiss. */
function fileSafe(machineId: string): string {
  const escaped = (character: string) => `~${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
  return machineId.replaceAll(/[^A-Za-z0-9._:-]/g, escaped).replace(/^\./, escaped);
}
