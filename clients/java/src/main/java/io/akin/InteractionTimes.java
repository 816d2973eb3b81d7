package io.akin;

import com.google.protobuf.Timestamp;
import io.akin.v1.ImportInteractionsRequest;
import io.akin.v1.Interaction;
import io.akin.v1.RecordInteractionsRequest;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.MethodDescriptor;
import java.time.Instant;
import java.util.List;

/**
 * Sets the time of interactions to record that have none to the present one, so that a retry after
 * an unknown outcome does not record them again.
 */
final class InteractionTimes implements ClientInterceptor {
  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(
      MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
      @Override
      public void sendMessage(Q message) {
        super.sendMessage(withTimes(message));
      }
    };
  }

  @SuppressWarnings("unchecked") // The result has the type of the argument.
  private static <Q> Q withTimes(Q message) {
    if (message instanceof RecordInteractionsRequest request) {
      List<Interaction> timed = withTimes(request.getInteractionsList());
      return (Q) request.toBuilder().clearInteractions().addAllInteractions(timed).build();
    }
    if (message instanceof ImportInteractionsRequest request) {
      List<Interaction> timed = withTimes(request.getInteractionsList());
      return (Q) request.toBuilder().clearInteractions().addAllInteractions(timed).build();
    }
    return message;
  }

  private static List<Interaction> withTimes(List<Interaction> interactions) {
    return interactions.stream().map(InteractionTimes::withTime).toList();
  }

  private static Interaction withTime(Interaction interaction) {
    if (interaction.hasTime()) {
      return interaction;
    }
    Instant now = Instant.now();
    Timestamp time =
        Timestamp.newBuilder().setSeconds(now.getEpochSecond()).setNanos(now.getNano()).build();
    return interaction.toBuilder().setTime(time).build();
  }
}
