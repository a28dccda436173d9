"""deploy/envoy/envoy.yaml against Envoy's own protos, and against what our
client sends and our server allows."""

import copy
import re
import unittest

from google.protobuf import json_format
from envoy.config.bootstrap.v3 import bootstrap_pb2
# What stands in Any must be known.
# pylint: disable=unused-import
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2)
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
# pylint: enable=unused-import

import deployment

CONFIG = deployment.DEPLOY / "envoy/envoy.yaml"
# RFC 9113, SETTINGS_MAX_HEADER_LIST_SIZE.
HEADER_BYTES = 32
# x-request-id, x-forwarded-proto and the like, added after its own limits.
ENVOYS_OWN_HEADER_BYTES = 512


def parse(config):
    return json_format.ParseDict(config, bootstrap_pb2.Bootstrap())


class EnvoyTest(unittest.TestCase):

    def setUp(self):
        self.config = deployment.load(CONFIG)
        resources = self.config["static_resources"]
        self.clusters = {cluster["name"]: cluster
                         for cluster in resources["clusters"]}
        (chain,) = resources["listeners"][0]["filter_chains"]
        self.chain = chain
        self.manager = chain["filters"][0]["typed_config"]
        (host,) = self.manager["route_config"]["virtual_hosts"]
        self.routes = host["routes"]

    def test_form(self):
        parse(self.config)

    def test_mistakes_are_found(self):
        for change in (
                lambda c: c["clusters"][0].update(lb_polcy="RING_HASH"),
                lambda c: c["clusters"][0].update(lb_policy="RING"),
                lambda c: c["listeners"][0]["filter_chains"][0]["filters"][0][
                    "typed_config"].update(max_request_headers=8)):
            config = copy.deepcopy(self.config)
            change(config["static_resources"])
            with self.assertRaises(json_format.ParseError):
                parse(config)

    def test_sessions_are_hashed_by_what_the_client_sends(self):
        source = (deployment.ROOT / "client/session_channels.cc").read_text()
        (header,) = set(re.findall(r'AddMetadata\("([a-z-]+)", session_id_',
                                   source))
        route = next(route for route in self.routes if "SessionService"
                     in route["match"]["prefix"])
        (policy,) = route["route"]["hash_policy"]
        self.assertEqual(policy["header"]["header_name"], header)
        cluster = self.clusters[route["route"]["cluster"]]
        self.assertEqual(cluster["lb_policy"], "RING_HASH")
        self.assertTrue(cluster["common_lb_config"][
            "consistent_hashing_lb_config"]["use_hostname_for_hashing"])

    def test_streams_are_not_cut(self):
        self.assertEqual(self.manager["stream_idle_timeout"], "0s")
        for route in self.routes:
            self.assertEqual(route["route"]["timeout"], "0s")
            self.assertIn(route["route"]["cluster"], self.clusters)

    def test_both_sides_show_certificates(self):
        context = self.chain["transport_socket"]["typed_config"]
        self.assertTrue(context["require_client_certificate"])
        for cluster in self.clusters.values():
            tls = cluster["transport_socket"]["typed_config"][
                "common_tls_context"]
            self.assertTrue(tls["tls_certificates"])
            self.assertTrue(tls["validation_context"]["trusted_ca"])

    def test_clients_share_no_connection_to_a_server(self):
        """A bad -bin header ends the connection that it comes over."""
        self.assertEqual(len(self.clusters), 2)
        for cluster in self.clusters.values():
            self.assertIs(cluster["connection_pool_per_downstream_connection"],
                          True)

    def test_no_server_is_put_out_for_its_errors(self):
        for cluster in self.clusters.values():
            self.assertNotIn("outlier_detection", cluster)
            self.assertTrue(cluster["health_checks"])

    def test_headers_fit_the_servers(self):
        """The server's limit counts 32 bytes more for each header."""
        source = (deployment.ROOT / "server/grpc_options.cc").read_text()
        (kib,) = re.findall(r"GRPC_ARG_MAX_METADATA_SIZE, (\d+) \* 1024",
                            source)
        options = self.manager["common_http_protocol_options"]
        most = (self.manager["max_request_headers_kb"] * 1024
                + options["max_headers_count"] * HEADER_BYTES
                + ENVOYS_OWN_HEADER_BYTES)
        self.assertLess(most, int(kib) * 1024)

    def test_streams_fit_the_servers(self):
        streams = int(deployment.printed_config()["max-concurrent-streams"])
        for cluster in self.clusters.values():
            (options,) = cluster["typed_extension_protocol_options"].values()
            http2 = options["explicit_http_config"]["http2_protocol_options"]
            self.assertLess(http2["max_concurrent_streams"], streams)


if __name__ == "__main__":
    unittest.main()
