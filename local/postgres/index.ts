export { type ClusterOptions, localRoles, PostgresCluster } from './cluster.ts'
export { freePorts, loopbackAddresses, pickPort } from './ports.ts'
export { PostgresServer, type ServerSpec, type StopMode } from './server.ts'
