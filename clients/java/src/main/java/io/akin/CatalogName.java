package io.akin;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.akin.v1.CreateCatalogRequest;
import io.akin.v1.DeleteCatalogRequest;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.MethodDescriptor;

/**
 * Names a catalog in requests that name none. Requests that create or delete a catalog are not
 * changed, so that no forgotten name deletes a catalog.
 */
final class CatalogName implements ClientInterceptor {
  private final String catalog;

  CatalogName(String catalog) {
    this.catalog = catalog;
  }

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(
      MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
      @Override
      public void sendMessage(Q message) {
        super.sendMessage(withCatalog(message));
      }
    };
  }

  @SuppressWarnings("unchecked") // The result has the type of the argument.
  private <Q> Q withCatalog(Q request) {
    if (request instanceof CreateCatalogRequest || request instanceof DeleteCatalogRequest) {
      return request;
    }
    if (request instanceof Message message) {
      FieldDescriptor field = message.getDescriptorForType().findFieldByName("catalog");
      if (field != null && message.getField(field).equals("")) {
        return (Q) message.toBuilder().setField(field, catalog).build();
      }
    }
    return request;
  }
}
