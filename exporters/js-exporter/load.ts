import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { ExportResult } from '@opentelemetry/core';
import { describeError, OutbandError } from '../../src/component/errors.ts';
import type { JsExporterConfig } from './index.ts';

/** What the exporters of OpenTelemetry JS for logs and for metrics have in common. */
export interface ForeignExporter {
  export(data: never, done: (result: ExportResult) => void): void;
  forceFlush?(): Promise<void>;
  shutdown(): Promise<void>;
}

/**
 * Loads the module and makes the exporter: a class, or a function that returns one.
 * @param directory of the configuration file
 * @throws OutbandError that names module and export
 */
export async function loadExporter(
  id: string,
  { module, export: name, options }: JsExporterConfig,
  directory: string,
): Promise<{ readonly exporter: ForeignExporter; readonly path: string }> {
  const url = locate(id, module, directory);
  const loaded = await load(id, module, url);
  const found = loaded[name];
  const made = typeof found === 'function' ? construct(id, module, name, found as Constructor, options) : found;
  const exporter = await made;
  assertExporter(id, name, module, exporter);
  return { exporter, path: url.startsWith('file:') ? fileURLToPath(url) : url };
}

type Constructor = { new (options: unknown): unknown; (options: unknown): unknown };

/** A bare name is a package that the configuration file could import; else it is a path beside that file. */
function locate(id: string, module: string, directory: string): string {
  try {
    if (/^[./]/.test(module)) return pathToFileURL(resolve(directory, module)).href;
    const fromHere = createRequire(resolve(directory, 'package.json'));
    return pathToFileURL(fromHere.resolve(module)).href;
  } catch (cause) {
    throw notLoaded(id, module, cause);
  }
}

async function load(id: string, module: string, url: string): Promise<Record<string, unknown>> {
  try {
    const loaded = (await import(url)) as Record<string, unknown>;
    // A CommonJS module has its exports in `default`.
    return { ...(typeof loaded.default === 'object' ? (loaded.default as object) : {}), ...loaded };
  } catch (cause) {
    throw notLoaded(id, module, cause);
  }
}

function construct(id: string, module: string, name: string, found: Constructor, options: unknown): unknown {
  const isClass = /^class\b/.test(Function.prototype.toString.call(found)) || found.prototype?.export !== undefined;
  try {
    return isClass ? new found(options) : found(options);
  } catch (cause) {
    throw new OutbandError(
      'config_value',
      `exporters::${id}: making "${name}" from "${module}" failed: ${describeError(cause)}`,
      {
        cause,
      },
    );
  }
}

/** @throws OutbandError when this is nothing that can be exported to */
function assertExporter(id: string, name: string, module: string, value: unknown): asserts value is ForeignExporter {
  const { export: send, shutdown } = (value ?? {}) as Partial<ForeignExporter>;
  if (typeof send === 'function' && typeof shutdown === 'function') return;
  throw new OutbandError(
    'config_value',
    `exporters::${id}: "${name}" from "${module}" is not a LogRecordExporter or PushMetricExporter`,
  );
}

function notLoaded(id: string, module: string, cause: unknown): OutbandError {
  return new OutbandError('config_source', `exporters::${id}: cannot load "${module}": ${describeError(cause)}`, {
    cause,
  });
}
