import type {
  AnyFactory,
  ExporterFactory,
  ExtensionFactory,
  ProcessorFactory,
  ReceiverFactory,
  Signal,
} from '../component/factory.ts';
import type { ComponentId } from '../component/id.ts';
import type { ServiceConfig } from './schema/service.ts';

/** A component as configured: checked settings and the factory that understands them. */
export interface ConfiguredComponent<Factory extends AnyFactory = AnyFactory> {
  readonly id: ComponentId;
  /** `type[/name]`. */
  readonly key: string;
  /** The key as it stands in the file, for positions. */
  readonly writtenKey: string;
  readonly factory: Factory;
  readonly config: unknown;
  /** The settings as they were written, after references: what tells whether they have changed. */
  readonly written: unknown;
}

export interface PipelineConfig {
  /** `logs[/name]`. */
  readonly key: string;
  readonly signal: Signal;
  readonly receivers: readonly string[];
  readonly processors: readonly string[];
  readonly exporters: readonly string[];
}

/** A configuration that passed every check. */
export interface AgentConfig {
  readonly receivers: ReadonlyMap<string, ConfiguredComponent<ReceiverFactory>>;
  readonly processors: ReadonlyMap<string, ConfiguredComponent<ProcessorFactory>>;
  readonly exporters: ReadonlyMap<string, ConfiguredComponent<ExporterFactory>>;
  readonly extensions: ReadonlyMap<string, ConfiguredComponent<ExtensionFactory>>;
  readonly pipelines: readonly PipelineConfig[];
  readonly service: ServiceConfig;
}
