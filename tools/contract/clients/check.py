"""The examples of the public contract, with a client generated from its file.

Takes the address and a sandbox key.
"""

import json
import sys

import orchestra_client as oc
from orchestra_client.models.pay_tools_api_models_auth_request_model import PayToolsApiModelsAuthRequestModel as Auth
from orchestra_client.models.pay_tools_api_models_capture_void_request_model import (
    PayToolsApiModelsCaptureVoidRequestModel as Change,
)
from orchestra_client.models.pay_tools_api_models_card_input_model import PayToolsApiModelsCardInputModel as Card
from orchestra_client.models.pay_tools_api_models_payment_gateway_account_input_model import (
    PayToolsApiModelsPaymentGatewayAccountInputModel as Account,
)
from orchestra_client.models.pay_tools_api_models_refund_request_model import PayToolsApiModelsRefundRequestModel as Refund
from orchestra_client.models.pay_tools_api_models_status_request_model import PayToolsApiModelsStatusRequestModel as Status
from orchestra_client.models.pay_tools_api_models_string_token_intput_model import (
    PayToolsApiModelsStringTokenIntputModel as NewToken,
)
from orchestra_client.models.payments_operation_result import PaymentsOperationResult as Result

URL, KEY = sys.argv[1:3]
NUMBER = "4111111111111111"

client = oc.ApiClient(oc.Configuration(host=URL, api_key={"ApiKeyAuth": KEY}))
payments = oc.PaymentGatewayApi(client)
checks = 0


def same(got, want):
    global checks
    assert got == want, f"{got!r} is not {want!r}"
    checks += 1


def card(number=NUMBER):
    return Card(card_holder_name="Ada Lovelace", card_number=number, expiration_month=12, expiration_year=2040, cvv="123")


def result(answer):
    # The contract declares no body for most 202s, so the client leaves it undecoded.
    same(answer.status_code, 202)
    return Result.from_json(answer.raw_data.decode())


def refused(call, status):
    try:
        call()
    except oc.ApiException as error:
        same(error.status, status)
        return error
    raise AssertionError(f"no {status}")


class Failover(Auth):
    """A charge with a field that the file lacks and the guide has."""

    def to_dict(self):
        return {**super().to_dict(), "paymentGatewayAccountNames": ["test-failure", "test-failure", "test-success"]}


def order(amount, account="test-success", number=NUMBER, **more):
    return Auth(amount=amount, currency="USD", card=card(number), payment_gateway_account_name=account, **more)


charged = payments.gateway_charge(order(10.23, my_ref="py-1"))
same((charged.operation_result_code, charged.amount, charged.currency), ("Success", 10.23, "USD"))
same(charged.gateway_name, "NULLSuccess")

body = refused(lambda: payments.gateway_charge(order(10, "test-failure")), 503).body
same(Result.from_json(body).operation_result_code, "TemporaryFailure")
body = refused(lambda: payments.gateway_charge(order(10, "sandbox", "4000000000000002")), 409).body
same(Result.from_json(body).operation_result_code, "Rejected")
over = payments.gateway_charge_with_http_info(Failover(amount=10, currency="USD", card=card()))
same(json.loads(over.raw_data)["success"], True)
same(len(json.loads(over.raw_data)["attempts"]), 3)

held = result(payments.gateway_authorize_with_http_info(order(50, "sandbox", my_ref="py-hold")))
same((held.operation_type, held.operation_result_code), ("PreAuth", "Success"))
part = {"currency": "USD", "ref_trans_id": held.gateway_reference, "card": card()}
taken = result(payments.gateway_capture_with_http_info(Change(amount=45, **part)))
same((taken.operation_type, taken.operation_result_code, taken.amount), ("Capture", "Success", 45))
back = result(payments.gateway_refund_with_http_info(Refund(amount=5, **part)))
same((back.operation_type, back.operation_result_code), ("Refund", "Success"))
other = result(payments.gateway_authorize_with_http_info(order(20, "sandbox")))
gone = Change(amount=20, currency="USD", ref_trans_id=other.gateway_reference, card=card())
same(result(payments.gateway_void_with_http_info(gone)).operation_result_code, "Success")

inline = {"paymentGatewayName": "Sandbox", "credentials": [{"key": "ApiKey", "value": "a-key-of-the-examples"}]}
here = payments.gateway_charge(Auth.from_dict({**order(6, "test-failure").to_dict(), "paymentGatewayAccount": inline}))
same((here.operation_result_code, here.gateway_name), ("Success", "Sandbox"))

found = payments.gateway_status(Status(my_ref="py-hold"))
same((found.operation_type, found.operation_result_code, found.gateway_reference), ("Status", "Success", held.gateway_reference))

wrong = refused(lambda: payments.gateway_charge(order(10, number="4111111111111112")), 400)
same(wrong.data.field_name, "card.cardNumber")
nobody = oc.PaymentGatewayApi(oc.ApiClient(oc.Configuration(host=URL, api_key={"ApiKeyAuth": "wrong"})))
same(refused(lambda: nobody.gateway_charge(order(10)), 401).body or "", "")

who = oc.UtilsApi(client).validate_api_key()
same((who.status, who.is_sandbox), ("OK", True))
names = [gateway.name for gateway in payments.gateway_list()]
same("NULLSuccess" in names, True)

tokens = oc.StringTokensApi(client)
made = tokens.store_string_token(NewToken(payload=NUMBER))
same(len(made.token), 32)
same(tokens.string_token_retrieve(made.token).clear_payload, NUMBER)
same(tokens.string_token_retrieve_meta_data(made.token).create_time, made.create_time)
same(payments.gateway_charge(order(7, number=f"@{made.token}")).operation_result_code, "Success")
tokens.delete(made.token)
refused(lambda: tokens.string_token_retrieve(made.token), 404)

accounts = oc.PaymentGatewayAccountsApi(client)
put = accounts.payment_gateway_account_set("PyAccount", Account(payment_gateway_name="NULLSuccess", credentials=[]))
same((put.name, put.payment_gateway_name), ("PyAccount", "NULLSuccess"))
same(accounts.payment_gateway_account_retrieve("PyAccount").payment_gateway_name, "NULLSuccess")
same("PyAccount" in [account.name for account in accounts.payment_gateway_accounts_list()], True)
same(payments.gateway_charge(order(4, "PyAccount")).operation_result_code, "Success")
accounts.payment_gateway_account_delete("PyAccount")
refused(lambda: accounts.payment_gateway_account_retrieve("PyAccount"), 404)

print(f"checks {checks}")
