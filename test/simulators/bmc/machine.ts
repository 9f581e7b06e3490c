import { LiveLog, type LogListener } from './live-log.ts';
import type { Profile } from './profiles.ts';

type JsonObject = Record<string, unknown>;

/** What a machine says of itself; may change while it runs. */
export interface MachineFacts {
  firmware: string;
  serviceUuid: string;
  systemUuid: string;
  managerSerial: string;
  model: string;
  vendor: string;
}

/** The resources of a generated machine: service root, one system, chassis and manager, and their log services. */
export interface Machine {
  readonly profile: Profile;
  readonly logs: readonly LiveLog[];
  readonly facts: MachineFacts;
  /** A resource by its path, without query; undefined: 404. */
  resource(path: string): JsonObject | undefined;
}

export const SSE_PATH = '/redfish/v1/EventService/SSE';

export interface MachineOptions {
  readonly name: string;
  readonly profile: Profile;
  /** What the EventService says. */
  readonly eventService: () => 'none' | 'disabled' | 'null_uri' | 'enabled';
  /** Which query options the root promises. */
  readonly protocol?: () => { readonly filterQuery: boolean; readonly topSkipQuery: boolean };
  /** Hears what becomes of the entries of all logs. */
  readonly listener?: LogListener;
}

const NO_QUERIES = () => ({ filterQuery: false, topSkipQuery: false });

export function generateMachine(options: MachineOptions): Machine {
  const { name, profile, eventService, protocol = NO_QUERIES, listener } = options;
  const facts: MachineFacts = {
    firmware: '1.2.3',
    serviceUuid: '11111111-2222-3333-4444-555555555555',
    systemUuid: '99999999-2222-3333-4444-555555555555',
    managerSerial: `MGR-${name}`,
    model: profile.product,
    vendor: profile.vendor,
  };
  const owners = {
    system: `/redfish/v1/Systems/${profile.system}`,
    manager: `/redfish/v1/Managers/${profile.manager}`,
    chassis: `/redfish/v1/Chassis/${profile.chassis}`,
  };
  const logs = profile.services.map(
    (service) => new LiveLog(`${owners[service.owner]}/LogServices/${service.id}`, service, profile.vendor, listener),
  );
  const collection = (path: string, members: readonly string[]): JsonObject => ({
    '@odata.id': path,
    Name: path.split('/').at(-1),
    Members: members.map((member) => ({ '@odata.id': member })),
    'Members@odata.count': members.length,
  });
  const servicesOf = (owner: keyof typeof owners) => logs.filter((log) => log.profile.owner === owner);
  const owned = (owner: keyof typeof owners, extra: JsonObject): JsonObject => ({
    '@odata.id': owners[owner],
    Id: owners[owner].split('/').at(-1),
    ...extra,
    ...(servicesOf(owner).length > 0 && { LogServices: { '@odata.id': `${owners[owner]}/LogServices` } }),
  });

  const resource = (path: string): JsonObject | undefined => {
    switch (path) {
      case '/redfish/v1':
        return {
          '@odata.id': '/redfish/v1',
          '@odata.type': '#ServiceRoot.v1_11_0.ServiceRoot',
          Id: 'RootService',
          RedfishVersion: '1.15.0',
          UUID: facts.serviceUuid,
          Vendor: facts.vendor,
          Product: profile.product,
          ProtocolFeaturesSupported: {
            FilterQuery: protocol().filterQuery,
            TopSkipQuery: protocol().topSkipQuery,
          },
          Systems: { '@odata.id': '/redfish/v1/Systems' },
          Managers: { '@odata.id': '/redfish/v1/Managers' },
          Chassis: { '@odata.id': '/redfish/v1/Chassis' },
          ...(eventService() !== 'none' && { EventService: { '@odata.id': '/redfish/v1/EventService' } }),
        };
      case '/redfish/v1/Systems':
        return collection(path, [owners.system]);
      case '/redfish/v1/Managers':
        return collection(path, [owners.manager]);
      case '/redfish/v1/Chassis':
        return collection(path, [owners.chassis]);
      case '/redfish/v1/EventService':
        return {
          '@odata.id': path,
          ServiceEnabled: eventService() !== 'disabled',
          Status: { State: eventService() === 'disabled' ? 'Disabled' : 'Enabled' },
          ServerSentEventUri: eventService() === 'null_uri' ? null : SSE_PATH,
        };
      case owners.system:
        return owned('system', {
          Manufacturer: facts.vendor,
          Model: facts.model,
          SerialNumber: `SN-${name}`,
          UUID: facts.systemUuid,
        });
      case owners.manager:
        return owned('manager', {
          FirmwareVersion: facts.firmware,
          ManagerType: 'BMC',
          SerialNumber: facts.managerSerial,
        });
      case owners.chassis:
        return owned('chassis', {});
      default: {
        for (const [owner, ownerPath] of Object.entries(owners))
          if (path === `${ownerPath}/LogServices`)
            return collection(
              path,
              servicesOf(owner as keyof typeof owners).map((log) => log.path),
            );
        return logs.find((log) => log.path === path)?.service();
      }
    }
  };
  return { profile, logs, facts, resource };
}
