import type { Clock } from '../../src/component/clock.ts';
import type { RedfishClient } from './client/redfish-client.ts';
import type { BmcLogsConfig } from './config.ts';
import type { DeliveryLane } from './delivery-lane.ts';
import type { EndpointConfig } from './endpoint-settings.ts';
import type { EndpointState } from './endpoint-state.ts';
import type { EndpointEvents } from './events.ts';
import type { JoinLedger } from './logs/ledger.ts';
import type { EndpointPositions } from './logs/positions.ts';
import type { ResourceCache } from './record/resource.ts';

/** What the two readers of an endpoint, of its logs and of its stream, work with and share. */
export interface ReaderParts {
  readonly config: BmcLogsConfig;
  readonly endpoint: EndpointConfig;
  readonly client: RedfishClient;
  readonly clock: Clock;
  readonly lane: DeliveryLane;
  readonly ledger: JoinLedger;
  readonly resource: ResourceCache;
  readonly events: EndpointEvents;
  readonly state: EndpointState;
  /** An entry of this log service came by stream. */
  readonly onCovered: (service: string) => void;
  /** Without a store there are none, and a restart reads the logs again. */
  readonly positions: EndpointPositions | undefined;
}
