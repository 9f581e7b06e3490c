import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { makeDirectory } from '../../src/component/make-directory.ts';

const DAY_MS = 86_400_000;
const UNFINISHED = '.gz.tmp';
/** What stands between name and extension of a renamed file. */
const STAMP = /^\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}\.\d{3}Z(-\d{4})?$/;

export interface RotationSettings {
  readonly path: string;
  readonly append: boolean;
  readonly createDirectory: boolean;
  readonly maxBytes: number;
  /** 0: for ever. */
  readonly maxDays: number;
  /** 0: all. */
  readonly maxBackups: number;
  /** Whether what was written is synced before it counts. */
  readonly sync: boolean;
  readonly compress: boolean;
  /** Wall clock, milliseconds since the epoch; for names and ages. */
  readonly nowMs: () => number;
}

/**
 * Lines in a file that is renamed when it is full. A line is whole or absent: after an error the file is cut back to the
 * last whole line, so that a reader never meets half a one.
 */
export class RotatingFile {
  readonly #settings: RotationSettings;
  #file: FileHandle | undefined;
  #bytes = 0;
  #wasOpen = false;
  #compressing: Promise<void> = Promise.resolve();
  /** Lines that a former process left unfinished. */
  tornLines = 0;

  constructor(settings: RotationSettings) {
    this.#settings = settings;
  }

  async open(): Promise<void> {
    const { path, append, createDirectory } = this.#settings;
    if (createDirectory) makeDirectory(dirname(path));
    if (!this.#wasOpen) await this.#dropUnfinished();
    this.#file = await open(path, 'a+', 0o600);
    // Once, and never again when the file is opened anew.
    if (!append && !this.#wasOpen) await this.#file.truncate(0);
    this.#wasOpen = true;
    this.#bytes = (await this.#file.stat()).size;
    if (this.#bytes === 0) return;
    const last = Buffer.alloc(1);
    await this.#file.read(last, 0, 1, this.#bytes - 1);
    if (last[0] === 0x0a) return;
    // What stands there is no line of ours: it gets an end of its own, so that the next line is whole.
    this.tornLines++;
    await this.#append(Buffer.from('\n'));
  }

  /** One call at a time. @param line without its newline. @throws what the file system says; the line is absent then */
  async write(line: Uint8Array): Promise<void> {
    const bytes = Buffer.concat([line, NEWLINE]);
    if (!this.#file) await this.open();
    if (this.#bytes > 0 && this.#bytes + bytes.length > this.#settings.maxBytes) await this.#rotate();
    await this.#append(bytes);
  }

  async close(): Promise<void> {
    await this.#closeFile();
    await this.#compressing;
  }

  async #closeFile(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async #append(bytes: Buffer): Promise<void> {
    const file = this.#file!;
    try {
      for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at)).bytesWritten;
      if (this.#settings.sync) await file.datasync();
      this.#bytes += bytes.length;
    } catch (error) {
      await file.truncate(this.#bytes).catch(() => this.#closeFile());
      throw error;
    }
  }

  async #rotate(): Promise<void> {
    const { path, compress } = this.#settings;
    const backup = await this.#freeName();
    await this.#closeFile();
    await rename(path, backup);
    await this.open();
    // Beside the lines that go on; one file at a time.
    const tidy = async () => {
      if (compress) await gzipFile(backup);
      await this.#removeOld();
    };
    this.#compressing = this.#compressing.then(tidy).catch(() => {});
  }

  /** `<name>-<UTC>.<ext>`; never one that exists. */
  async #freeName(): Promise<string> {
    const { path, nowMs } = this.#settings;
    const extension = extname(path);
    const stamp = new Date(nowMs()).toISOString().replaceAll(':', '-');
    const stem = join(dirname(path), `${basename(path, extension)}-${stamp}`);
    for (let n = 0; ; n++) {
      const name = `${stem}${n === 0 ? '' : `-${String(n).padStart(4, '0')}`}${extension}`;
      if (!(await exists(name)) && !(await exists(`${name}.gz`))) return name;
    }
  }

  /** What a process that was killed while it compressed has left. */
  async #dropUnfinished(): Promise<void> {
    const { path } = this.#settings;
    for (const name of await readdir(dirname(path)))
      if (name.endsWith(UNFINISHED) && this.#isBackup(name.slice(0, -UNFINISHED.length)))
        await rm(join(dirname(path), name), { force: true });
  }

  /** By the whole form of the name: `logs-audit.json` is nobody's backup. */
  #isBackup(name: string): boolean {
    const extension = extname(this.#settings.path);
    const prefix = `${basename(this.#settings.path, extension)}-`;
    const bare = name.endsWith('.gz') ? name.slice(0, -'.gz'.length) : name;
    return (
      bare.startsWith(prefix) &&
      bare.endsWith(extension) &&
      STAMP.test(bare.slice(prefix.length, bare.length - extension.length))
    );
  }

  async #removeOld(): Promise<void> {
    const { path, maxBackups, maxDays, nowMs } = this.#settings;
    const backups = (await readdir(dirname(path)))
      .filter((name) => this.#isBackup(name))
      .sort()
      .map((name) => join(dirname(path), name));
    const tooMany = maxBackups === 0 ? [] : backups.slice(0, -maxBackups);
    for (const name of tooMany) await rm(name, { force: true });
    if (maxDays === 0) return;
    for (const name of backups)
      if ((await modified(name)) < nowMs() - maxDays * DAY_MS) await rm(name, { force: true });
  }
}

const NEWLINE = Buffer.from('\n');

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function modified(path: string): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => Number.POSITIVE_INFINITY,
  );
}

async function gzipFile(path: string): Promise<void> {
  // Under another name until it is whole: what ends in `.gz` can be read.
  await pipeline(createReadStream(path), createGzip(), createWriteStream(`${path}${UNFINISHED}`, { mode: 0o600 }));
  await rename(`${path}${UNFINISHED}`, `${path}.gz`);
  await rm(path);
}
