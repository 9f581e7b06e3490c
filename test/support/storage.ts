import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { FileStorage } from '../../src/extensions/file-storage/extension.ts';
import fileStorage, { type FileStorageConfig } from '../../src/extensions/file-storage/index.ts';
import type { StoreOptions } from '../../src/extensions/file-storage/protocol.ts';
import { spawnWorker } from '../../src/extensions/file-storage/store-client.ts';
import { type TestHost, testHost } from '../../src/testing/host.ts';

/** A directory of its own, gone when the test ends. */
export async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'outband-test-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export interface TestStorage {
  readonly storage: FileStorage;
  readonly host: TestHost;
  readonly config: FileStorageConfig;
  /** The threads that were started, in order. */
  readonly workers: readonly Worker[];
}

/** A store with a real file and a real thread, started; stopped when the test ends. */
export async function startStorage(t: TestContext, directory: string, settings: object = {}): Promise<TestStorage> {
  const config = fileStorage.schema.parse({
    directory,
    ballast_bytes: 0,
    commit: { max_delay: '1ms' },
    ...settings,
  }) as FileStorageConfig;
  const host = testHost();
  const workers: Worker[] = [];
  const spawn = (options: StoreOptions) => {
    const worker = spawnWorker(options);
    workers.push(worker);
    return worker;
  };
  const storage = new FileStorage('file_storage', config, host, spawn);
  await storage.start();
  t.after(() => storage.shutdown());
  return { storage, host, config, workers };
}
