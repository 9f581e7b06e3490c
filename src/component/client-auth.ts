import type { Component } from './component.ts';
import type { Secret } from './secret.ts';

/** What an extension gives a component that must prove who it is. */
export interface ClientAuth extends Component {
  /**
   * The value of an `Authorization` header. Asked for with every request, so a rotated file needs no restart.
   * @throws OutbandError `config_source` when a file cannot be read
   */
  authorization(): Promise<Secret>;
}

export interface BasicAccount {
  readonly username: string;
  readonly password: Secret;
}

/** Knows name and password themselves, for protocols that log in (a Redfish session). */
export interface BasicAuth extends ClientAuth {
  account(): Promise<BasicAccount>;
}

export function isClientAuth(component: Component): component is ClientAuth {
  return 'authorization' in component && typeof component.authorization === 'function';
}

export function isBasicAuth(component: Component): component is BasicAuth {
  return isClientAuth(component) && 'account' in component && typeof component.account === 'function';
}
