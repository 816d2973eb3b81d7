package io.akin;

import static org.junit.jupiter.api.Assertions.assertNotNull;

import io.akin.v1.GetItemRequest;
import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.StatusOr;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.util.Collection;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class BalancingTest {
  /** A name with several addresses stands for replicas: each of them gets a share of the calls. */
  @Test
  void callsAreSpreadOverAllAddresses() {
    try (StandIn first = new StandIn();
        StandIn second = new StandIn()) {
      Replicas replicas = new Replicas(List.of(first, second));
      NameResolverRegistry.getDefaultRegistry().register(replicas);
      try (AkinClient client = AkinClient.builder("replicas:///akin").build()) {
        // The connections are ready at different times.
        for (int number = 0;
            number < 2_000 && (first.deadline == null || second.deadline == null);
            number++) {
          client.recommender().getItem(GetItemRequest.newBuilder().setItemId("a").build());
        }
      } finally {
        NameResolverRegistry.getDefaultRegistry().deregister(replicas);
      }
      assertNotNull(first.deadline);
      assertNotNull(second.deadline);
    }
  }

  /** Resolves each name of its scheme to the addresses of servers. */
  private static final class Replicas extends NameResolverProvider {
    private final List<EquivalentAddressGroup> addresses;

    Replicas(List<StandIn> servers) {
      addresses = servers.stream().map(Replicas::locate).toList();
    }

    private static EquivalentAddressGroup locate(StandIn server) {
      String[] parts = server.address().split(":");
      return new EquivalentAddressGroup(
          new InetSocketAddress(parts[0], Integer.parseInt(parts[1])));
    }

    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args arguments) {
      return new NameResolver() {
        @Override
        public String getServiceAuthority() {
          return "akin";
        }

        @Override
        public void start(Listener2 listener) {
          listener.onResult(
              ResolutionResult.newBuilder().setAddressesOrError(StatusOr.fromValue(addresses))
                  .build());
        }

        @Override
        public void shutdown() {}
      };
    }

    @Override
    public String getDefaultScheme() {
      return "replicas";
    }

    @Override
    protected boolean isAvailable() {
      return true;
    }

    @Override
    protected int priority() {
      return 0;
    }

    @Override
    public Collection<Class<? extends SocketAddress>> getProducedSocketAddressTypes() {
      return List.of(InetSocketAddress.class);
    }
  }
}
