import { LiveLog } from './live-log.ts';
import type { Profile } from './profiles.ts';

type JsonObject = Record<string, unknown>;

/** The resources of a generated machine: service root, one system, chassis and manager, and their log services. */
export interface Machine {
  readonly profile: Profile;
  readonly logs: readonly LiveLog[];
  /** A resource by its path, without query; undefined: 404. */
  resource(path: string): JsonObject | undefined;
}

export const SSE_PATH = '/redfish/v1/EventService/SSE';

export interface MachineOptions {
  readonly name: string;
  readonly profile: Profile;
  /** What the EventService says. */
  readonly eventService: () => 'none' | 'disabled' | 'null_uri' | 'enabled';
}

export function generateMachine({ name, profile, eventService }: MachineOptions): Machine {
  const owners = {
    system: `/redfish/v1/Systems/${profile.system}`,
    manager: `/redfish/v1/Managers/${profile.manager}`,
    chassis: `/redfish/v1/Chassis/${profile.chassis}`,
  };
  const logs = profile.services.map(
    (service) => new LiveLog(`${owners[service.owner]}/LogServices/${service.id}`, service),
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
          UUID: '11111111-2222-3333-4444-555555555555',
          Vendor: profile.vendor,
          Product: profile.product,
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
          Manufacturer: profile.vendor,
          Model: profile.product,
          SerialNumber: `SN-${name}`,
          UUID: '99999999-2222-3333-4444-555555555555',
        });
      case owners.manager:
        return owned('manager', { FirmwareVersion: '1.2.3', ManagerType: 'BMC' });
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
  return { profile, logs, resource };
}
