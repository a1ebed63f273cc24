"""Portuguese. Letters that the GSM alphabet lacks are written without their accent."""

from chalicelib.domain.errors import Refusal
from chalicelib.sms.language import Language

PORTUGUESE = Language(
    code="pt",
    appliance="aparelho",
    arrears="atrasados",
    access_rate="taxa",
    energy="energia",
    time="tempo",
    credit="saldo",
    credit_used="saldo usado",
    thanks="Obrigado {name}.",
    thanks_to_nobody="Obrigado.",
    day="{number} dia",
    days="{number} dias",
    energy_typed="{units} kWh para o contador {serial_number}. Token: {token}",
    time_typed="{days} para {serial_number}. Token: {token}",
    unlock_typed="{serial_number} esta pago por completo. Token de desbloqueio: {token}",
    set_typed="Por favor digite em {serial_number}: {token}",
    typed_before="Digite primeiro: {before}. Depois: {text}",
    energy_sent="{units} kWh foram enviados ao contador {serial_number}.",
    time_sent="{days} foram enviados a {serial_number}.",
    unlock_sent="{serial_number} esta pago por completo e desbloqueado.",
    set_sent="{serial_number} foi ajustado ao que esta pago.",
    debts_only="Sem token: tudo serviu para pagar a divida.",
    kept="Ainda sem token: o resto fica guardado para o seu proximo pagamento.",
    unlock_held="Estamos a verificar o desbloqueio de {serial_number}. Vamos escrever-lhe.",
    held="Estamos a verificar o seu pagamento de {money} para {serial_number}. "
    "Por favor nao pague de novo, vamos escrever-lhe. Ref {reference}",
    unusable="Nao podemos usar {money} para {serial_number}: verifique o numero. "
    "O dinheiro esta seguro e vai ser devolvido. Ref {reference}",
    refunded="Devolvemos {money}, pagos para {serial_number}. Ref {reference}",
    refused="O seu pagamento de {money} para {serial_number} foi recusado: {reason}. "
    "Nenhum dinheiro foi cobrado. Ref {reference}",
    reasons={
        Refusal.PAUSED: "pagamentos em pausa, tente mais tarde",
        Refusal.INVALID_AMOUNT: "este valor nao é possivel",
        Refusal.WRONG_CURRENCY: "esta moeda nao é aceite",
        Refusal.UNKNOWN_DEVICE: "o numero nao é conhecido",
        Refusal.DEVICE_UNASSIGNED: "o aparelho nao tem dono",
        Refusal.NO_TARIFF: "o contador nao tem tarifa",
        Refusal.NO_PLAN: "o aparelho nao tem plano de pagamento",
        Refusal.NOTHING_TO_PAY: "nao ha nada a pagar",
        Refusal.TOO_SMALL: "o valor é pequeno demais",
    },
)
