"""The Chinese words of the catalogue, keyed by the English ones.

Whoever changes an English text is told by a test that the Chinese one is to be looked at again. Texts of your
own that are not here are shown as they are. See :mod:`overdue_ml.features.chinese` for the sentences.
"""

from __future__ import annotations

#: Event of a view: what it is called, and how it is counted.
EVENTS: dict[str, tuple[str, str]] = {
    "statement": ("账单", "期"),
    "instalment": ("应还款", "期"),
    "payment": ("还款", "笔"),
    "version": ("还款计划版本", "个"),
    "income": ("收入", "笔"),
    "report": ("他处负债报告", "份"),
}

#: Statistics of a number: {w} window, {m} measure, {e} event, {c} how it is counted, {n} the nearest one, {k}
#: and {beyond} how far from it.
STATISTICS: dict[str, str] = {
    "last": "{n}的{m}",
    "lag": "{n}{beyond}第{k}{c}的{m}",
    "count": "{w}{m}已知的{c}数",
    "sum": "{w}{m}之和",
    "mean": "{w}{m}的平均值",
    "max": "{w}{m}的最大值",
    "min": "{w}{m}的最小值",
    "std": "{w}{m}的标准差",
    "slope": "{w}{m}的变化趋势（最小二乘，每{c}的变化量）",
    "wmean": "{w}{m}的加权平均值（由近及远，权重逐{c}减半）",
    "first": "{w}最早一{c}{e}的{m}",
}
#: Statistics of what is either so or not; {until} is where a row of them ends.
FLAGS: dict[str, str] = {
    "last": "{n}是否{m}（1为是，0为否）",
    "lag": "{n}{beyond}第{k}{c}是否{m}（1为是，0为否）",
    "mean": "{w}{m}的{c}数占比",
    "wmean": "{w}{m}的加权占比（由近及远，权重逐{c}减半）",
    "share": "{w}{m}的{c}数占比",
    "streak": "{until}，连续{m}的{c}数",
    "since": "距最近一{c}{m}的{e}的天数",
    "first": "{w}最早一{c}{e}是否{m}（1为是，0为否）",
}

MEASURES: dict[str, str] = {
    # Statements
    "days past due": "逾期天数",
    "a payment late": "还款逾期",
    "a payment more than 30 days late": "还款逾期超过30天",
    "the payment status (-2 inactive, -1 paid in full, 0 paid the minimum, else months late)":
        "还款状态（-2为无交易，-1为全额还清，0为还最低额，正数为逾期月数）",
    "a better payment status than on the statement before": "还款状态好于上一期",
    "the account not used": "账户无交易",
    "the balance paid in full": "余额全额还清",
    "only part of the balance paid": "余额只还了一部分",
    "nothing paid although the balance before was above zero": "上期余额大于零而未还款",
    "the amount paid": "还款金额",
    "the amount paid as a share of the balance before (at most 2)": "还款金额占上期余额的比例（最高计为2）",
    "the amount paid as a share of the balance it left (at most 2)": "还款金额与当期余额之比（最高计为2）",
    "the unpaid part of the balance before as a share of the credit limit":
        "上期余额未还部分占信用额度的比例",
    "the balance less the amount paid as a share of the credit limit": "余额减去还款后占信用额度的比例",
    "the statement balance": "账单余额",
    "the balance as a share of the credit limit": "余额占信用额度的比例",
    "the growth of the balance as a share of the credit limit": "余额增长额占信用额度的比例",
    "the balance as a multiple of the balance before (-1 to 5)": "余额为上期余额的倍数（限于-1至5）",
    "new spending and charges": "新增消费及费用",
    "new spending and charges as a share of the credit limit": "新增消费及费用占信用额度的比例",
    # Instalments that have fallen due
    "days past due times the amount due": "逾期天数与应还金额的乘积",
    "a late payment": "还款逾期",
    "a payment more than 7 days late": "还款逾期超过7天",
    "no day past due": "无逾期",
    "instalments still unpaid": "未结清期数",
    "what unpaid instalments are short by": "未结清应还款的欠额",
    "days past due of what is unpaid (0 if paid)": "未结清应还款的逾期天数（已结清计为0）",
    "only a part paid": "只还了一部分",
    "instalments paid in part only": "只还了一部分的期数",
    "the amount paid as a share of the amount due": "已还金额占应还金额的比例",
    "the amount due": "应还金额",
    "days with a payment": "有还款的天数",
    "days from payment to due date (0 if not early)": "提前还清的天数（未提前计为0）",
    "the share of the money that came late for a technical cause": "因技术原因迟到的款项占比",
    "late payments among the first 3 instalments": "前3期应还款的逾期期数",
    "days past due of the first 3 instalments (0 for later ones)": "前3期应还款的逾期天数（其后各期计为0）",
    "a payment taken back": "还款被撤回",
    "a payment ahead of the due date": "提前还清",
    "a payment more than 7 days ahead of the due date": "提前7天以上还清",
    "payments on more than one day": "分多日还款",
    # The customer's loans together
    "days past due (mean of the customer's loans)": "逾期天数（客户各笔贷款的平均）",
    "a late payment (mean of the customer's loans)": "还款逾期（客户各笔贷款的平均）",
    "days past due (the loan with the fewest)": "逾期天数（取逾期最少的一笔贷款）",
    "loans with an instalment that has fallen due": "已有应还款到期的贷款笔数",
    "loans late with the instalment": "当期逾期的贷款笔数",
    "loans with an unpaid instalment past due": "有逾期未还的贷款笔数",
    "loans with an instalment still to be paid": "仍有待还的贷款笔数",
    # Instalments to come, and the whole plan
    "days to the due date": "到期剩余天数",
    "what is still to be paid": "待还金额",
    "instalments still to be paid": "待还期数",
    "instalments settled ahead": "已提前结清的期数",
    "the day of the month of the due date": "到期日（当月第几日）",
    "the sine of the month of the due date (1 in April, -1 in October)":
        "到期月份的正弦值（4月为1，10月为-1）",
    "the cosine of the month of the due date (1 in January, -1 in July)":
        "到期月份的余弦值（1月为1，7月为-1）",
    "the amount due, fallen due or not": "应还金额（含未到期）",
    "the amount paid, also ahead of the due date": "已还金额（含提前还款）",
    "what is still to be paid, late or not": "待还金额（含逾期）",
    "instalments still to be paid, late or not": "待还期数（含逾期）",
    "days to the due date (0 if past)": "到期剩余天数（已过期计为0）",
    # Payments, and changes of the plan
    "the amount of a payment (below zero if it went back)": "单笔还款金额（退回为负）",
    "money coming in": "款项到账",
    "money going back": "款项退回",
    "payments that went back": "被退回的还款笔数",
    "days between a payment and the one before": "间隔天数（与上一笔还款之间）",
    "the day of the month on which a payment came": "还款日（当月第几日）",
    "a change of an instalment that was planned otherwise": "改变原计划",
    "changes of instalments that were planned otherwise": "还款计划变更次数",
    "instalments put off to a later day": "到期日被延后的次数",
    "days by which a change puts an instalment off (below 0: earlier)": "变更使到期日延后的天数（提前为负）",
    "what a change adds to an instalment (below zero: takes off)": "变更使应还金额增加的数额（减少为负）",
    # Incomes
    "what was received": "收入金额",
    "a salary or pension as its kind": "种类为工资或养老金",
    "revenue as its kind": "种类为营业收入",
    "an amount above zero": "金额大于零",
    "days since the income before": "间隔天数（与上一笔收入之间）",
    # Borrowings elsewhere
    "the number of lenders elsewhere with an open debt": "他处贷款机构数（有未结清债务）",
    "anything said": "有内容",
    "the balance owed elsewhere": "他处负债余额",
    "the credit limit elsewhere": "他处信用额度",
    "what is due elsewhere each month": "他处每月应还金额",
    "the growth of the balance owed elsewhere": "他处负债余额增长额",
    "the growth of the balance owed elsewhere as a share of the limit there":
        "他处负债余额增长额占他处额度的比例",
    "the balance owed elsewhere as a share of the limit there": "他处负债余额占他处额度的比例",
    "days past due elsewhere": "他处负债逾期天数",
    "a debt past due elsewhere": "有逾期",
    "the number of lenders elsewhere with a debt past due": "他处贷款机构数（有逾期债务）",
    "days since the opening of the newest debt elsewhere": "他处负债开立至今的天数（最新一笔）",
    "days since the opening of the oldest debt elsewhere": "他处负债开立至今的天数（最早一笔）",
    "the number of lenders elsewhere with a debt opened in the latest 90 days":
        "他处贷款机构数（最近90天内有新增债务）",
    "the number of lenders elsewhere with a debt opened in the latest 360 days":
        "他处贷款机构数（最近360天内有新增债务）",
}  # fmt: skip

#: What a rank is by.
RANKED: dict[str, str] = {
    "the weighted mean of days past due over the latest 6 statements": "最近6期账单逾期天数的加权平均值",
    "the mean amount paid over the latest 6 statements": "最近6期账单还款金额的平均值",
    "the latest balance": "最近一期账单余额",
    "the mean balance of the latest 6 statements": "最近6期账单余额的平均值",
    "the share of the credit limit in use": "信用额度使用率",
    "the mean spending over the latest 6 statements": "最近6期账单消费金额的平均值",
    "all credit limits together": "信用额度合计",
    "the mean of days past due over the latest 6 instalments": "最近6期应还款逾期天数的平均值",
    "days past due times amounts of the latest 6 instalments": "最近6期应还款逾期天数与金额乘积之和",
    "all amounts that are past due and unpaid": "逾期未还金额合计",
    "the amount of the next instalment": "下一期应还金额",
    "what is still to be paid in the next 31 days": "未来31天内待还金额",
    "what is still to be paid in all": "待还金额合计",
    "what was paid in 90 days": "90天内还款金额",
    "the principals of all loans together": "全部贷款本金合计",
    "the mean of the latest 6 incomes": "最近6笔收入的平均值",
    "the income of 90 days": "90天内收入",
    "the income of 360 days": "360天内收入",
    "what is to be paid in the next 31 days for each unit of income": "未来31天内待还金额与收入之比",
    "the balance of debts elsewhere": "他处负债余额",
    "the share of limits elsewhere in use": "他处额度使用率",
    "dues here and elsewhere for each unit of income": "本机构及他处应还金额与收入之比",
}  # fmt: skip

#: What a null means.
NULLS: dict[str, str] = {
    "never in the known history": "已知记录中从未发生",
    "one of its two parts is null": "两个组成部分之一为空",
    "the value that is ranked is null": "所排列的值为空",
    "not given": "未登记",
    "not known": "未知",
    "no account known": "无已知账户",
    "opening date unknown": "开户日期未知",
    "no credit limit known": "无已知信用额度",
    "no principal known": "无已知本金",
    "no principal of an open account known": "无未关闭账户的已知本金",
    "no rate known": "无已知利率",
    "no term known": "无已知期限",
    "no statement known": "无已知账单",
    "fewer than two statements known": "已知账单不足两期",
    "no earlier statement with a balance above zero": "此前没有余额大于零的账单",
    "no statement with a balance above zero": "没有余额大于零的账单",
    "fewer than two statements known, or no credit limit above zero":
        "已知账单不足两期，或无大于零的信用额度",
    "no statement known, or no credit limit above zero": "无已知账单，或无大于零的信用额度",
    "no instalment has fallen due": "尚无应还款到期",
    "no instalment with an amount due above zero has fallen due": "尚无应还金额大于零的应还款到期",
    "no payment on an instalment that has fallen due": "已到期的应还款尚无还款",
    "no instalment is to come": "没有未到期的应还款",
    "no instalment is to come, or nothing was paid on the latest 3": "没有未到期的应还款，或最近3期未还款",
    "no instalment known": "无已知应还款",
    "nothing was due in 90 days": "90天内无应还款到期",
    "nothing was due in 360 days": "360天内无应还款到期",
    "nothing was due before": "此前无应还款到期",
    "nothing is to come": "今后无待还款项",
    "nothing is to come, or nothing was paid in 90 days": "今后无待还款项，或90天内未还款",
    "never late over the latest 12": "最近12期从未逾期",
    "never late over the latest 360 days": "最近360天内从未逾期",
    "no payment known": "无已知还款",
    "fewer than two payments known": "已知还款不足两笔",
    "fewer than two payments known, or all on one day": "已知还款不足两笔，或都在同一天",
    "nothing paid in 90 days": "90天内未还款",
    "nothing paid in 360 days": "360天内未还款",
    "no income known, or none in the window": "无已知收入，或窗口内无收入",
    "no income of a known kind": "无种类已知的收入",
    "fewer than two incomes known": "已知收入不足两笔",
    "no income known, or only of zero": "无已知收入，或收入均为零",
    "no income in the latest 31 days": "最近31天内无收入",
    "no income known, or no instalment is to come": "无已知收入，或没有未到期的应还款",
    "no income known, or no instalment due in the next 31 days": "无已知收入，或未来31天内无应还款到期",
    "no income in the latest 90 days, or no instalment due in the next 31":
        "最近90天内无收入，或未来31天内无应还款到期",
    "no income in the latest 360 days, or no instalment known": "最近360天内无收入，或无已知应还款",
    "fewer than two incomes known, or no instalment is to come": "已知收入不足两笔，或没有未到期的应还款",
    "no debt elsewhere was reported, or none in the window": "无他处负债报告，或窗口内无报告",
    "no credit limit elsewhere was reported": "未报告他处信用额度",
    "no monthly dues elsewhere were reported": "未报告他处每月应还金额",
    "no lender elsewhere has reported twice": "没有他处机构报告过两次",
    "no open debt elsewhere with a limit above zero was reported": "未报告额度大于零的未结清他处负债",
    "no opening date of a debt elsewhere was reported": "未报告他处负债的开立日期",
    "no income known, or no monthly dues elsewhere were reported": "无已知收入，或未报告他处每月应还金额",
    "no income in the latest 360 days, or no debt elsewhere was reported":
        "最近360天内无收入，或无他处负债报告",
    "nothing falls due in the next 31 days, here or elsewhere": "未来31天内本机构及他处均无应还款",
    "no income known, or nothing falls due in the next 31 days": "无已知收入，或未来31天内无应还款",
    "neither an instalment nor a debt elsewhere is known": "既无已知应还款，也无已知他处负债",
    "no income in the latest 360 days, or no debt known": "最近360天内无收入，或无已知债务",
}  # fmt: skip

#: Whole sentences: features that are not made of a measure and a statistic.
SENTENCES: dict[str, str] = {
    # Accounts
    "Days since the customer's first account was opened.": "客户首个账户开立至今的天数。",
    "Days since the customer's latest account was opened.": "客户最近一个账户开立至今的天数。",
    "Mean number of days since the customer's accounts were opened.": "客户各账户开立至今天数的平均值。",
    "Days between the openings of the first and of the latest account.":
        "首个账户与最近一个账户开立日期的间隔天数。",
    "Number of accounts open on the as_of date.": "观察日未关闭的账户数。",
    "Number of accounts opened in the latest 90 days.": "最近90天内开立的账户数。",
    "Number of accounts opened in the latest 360 days.": "最近360天内开立的账户数。",
    "Number of accounts closed by the as_of date.": "截至观察日已关闭的账户数。",
    "Number of accounts closed in the latest 360 days.": "最近360天内关闭的账户数。",
    "Number of products that the customer's accounts are of.": "客户账户所属的产品种类数。",
    "Sum of the credit limits of the customer's accounts.": "客户各账户信用额度之和。",
    "Sum of the principals of the customer's loans.": "客户各笔贷款本金之和。",
    "The largest principal of the customer's loans.": "客户各笔贷款中最大的本金。",
    "Sum of the principals of the loans that are not closed.": "未结清贷款的本金之和。",
    "Share of the largest loan in the principals of all.": "最大一笔贷款占全部贷款本金的比例。",
    "Share of the loans that are not closed in the principals of all.": "未结清贷款占全部贷款本金的比例。",
    "The highest yearly rate of the customer's loans.": "客户各笔贷款中最高的年利率。",
    "The lowest yearly rate of the customer's loans.": "客户各笔贷款中最低的年利率。",
    "The longest term of the customer's loans, in months.": "客户各笔贷款中最长的期限（月）。",
    "The shortest term of the customer's loans, in months.": "客户各笔贷款中最短的期限（月）。",
    # Statements
    "Credit limits less the latest balances.": "信用额度减去最近一期余额。",
    "Credit limits less the highest balances of the latest 6 statements.":
        "信用额度减去最近6期账单的最高余额。",
    "Credit limits as a multiple of the mean payment of the latest 6 statements.":
        "信用额度为最近6期账单平均还款金额的倍数。",
    "Recency-weighted payment status, divided by the credit limits.":
        "还款状态的加权平均值（近期权重更大）除以信用额度。",
    "Recency-weighted days past due, divided by the credit limits.":
        "逾期天数的加权平均值（近期权重更大）除以信用额度。",
    "Recency-weighted payment status times the latest utilisation.":
        "还款状态的加权平均值（近期权重更大）乘以最近一期额度使用率。",
    "Mean payment status times mean utilisation of the latest 6 statements.":
        "最近6期账单还款状态的平均值乘以额度使用率的平均值。",
    "Recency-weighted days past due times the latest utilisation.":
        "逾期天数的加权平均值（近期权重更大）乘以最近一期额度使用率。",
    "Recency-weighted days past due times the mean payment of the latest 6 statements.":
        "逾期天数的加权平均值（近期权重更大）乘以最近6期账单的平均还款金额。",
    "The latest payment status less the worst of the latest 6 statements.":
        "最近一期还款状态减去最近6期账单中最差的还款状态。",
    "Standard deviation of the balance over its mean, latest 6 statements.":
        "最近6期账单余额的标准差与平均值之比。",
    # Instalments
    "Mean of days past due over the latest 6 instalments, each weighing as much as its amount due.":
        "最近6期应还款逾期天数的平均值，按应还金额加权。",
    "Mean of days past due over the latest 3 instalments less that over the latest 12.":
        "最近3期应还款逾期天数的平均值减去最近12期的平均值。",
    "Mean of days past due over the latest 3 instalments as a multiple of that over the latest 12.":
        "最近3期应还款逾期天数的平均值为最近12期平均值的倍数。",
    "Mean of days past due over the latest 90 days as a multiple of that over the latest 360.":
        "最近90天内应还款逾期天数的平均值为最近360天内平均值的倍数。",
    "The latest days past due less the mean over the latest 6 instalments.":
        "最近一期逾期天数减去最近6期应还款的平均值。",
    "Share of late instalments of the latest 3 less that of the latest 12.":
        "最近3期应还款的逾期占比减去最近12期的逾期占比。",
    "Mean share paid of the latest 3 instalments less that of the latest 12.":
        "最近3期应还款已还比例的平均值减去最近12期的平均值。",
    "Mean of days early over the latest 3 instalments less that over the latest 12.":
        "最近3期应还款提前天数的平均值减去最近12期的平均值。",
    "What is paid of the instalments of the latest 90 days as a share of what was due.":
        "最近90天内到期应还款的已还金额占应还金额的比例。",
    "What is paid of the instalments of the latest 360 days as a share of what was due.":
        "最近360天内到期应还款的已还金额占应还金额的比例。",
    "What unpaid instalments are short by as a multiple of what fell due in 360 days.":
        "未结清应还款的欠额为360天内到期金额的倍数。",
    "Mean of days past due over the latest 6 instalments: the worst loan less the best.":
        "最近6期应还款逾期天数的平均值：最差的一笔贷款减去最好的一笔。",
    "Share of the loans that are or were late with their latest instalment.":
        "最近一期应还款逾期（含已还清）的贷款占比。",
    "Loans with an unpaid instalment past due, to each loan with something still to be paid.":
        "有逾期未还的贷款笔数与仍有待还的贷款笔数之比。",
    "What is still to be paid of the next instalment as a multiple of the mean paid on the latest 3.":
        "下一期待还金额为最近3期平均还款金额的倍数。",
    "The next amount due as a multiple of the mean of the latest 6.":
        "下一期应还金额为最近6期平均应还金额的倍数。",
    "What falls due in 31 days as a multiple of what was paid in 90.":
        "未来31天内到期金额为最近90天还款金额的倍数。",
    "Share of all known instalments, fallen due or not, that is paid.":
        "全部已知应还款（含未到期）中已还金额的比例。",
    "Number of instalments still to be paid as a share of all known ones.":
        "待还期数占全部已知期数的比例。",
    "What is still to be paid as a multiple of the principal of all loans.":
        "待还金额为全部贷款本金的倍数。",
    # Payments
    "The latest payment as a multiple of the mean of the latest 6.": "最近一笔还款为最近6笔平均值的倍数。",
    "What was paid in 30 days as a share of what was paid in 90.": "30天内还款金额占90天内还款金额的比例。",
    "What was paid in 90 days as a share of what was paid in 360.": "90天内还款金额占360天内还款金额的比例。",
    "The latest number of days between two payments as a multiple of the mean of the latest 6.":
        "最近一次还款间隔天数为最近6次平均值的倍数。",
    "Days since the latest payment as a multiple of the usual number between two payments.":
        "距最近一笔还款的天数为平常还款间隔天数的倍数。",
    # Incomes
    "Standard deviation of the latest 6 incomes over their mean.": "最近6笔收入的标准差与平均值之比。",
    "Standard deviation of the latest 12 incomes over their mean.": "最近12笔收入的标准差与平均值之比。",
    "The lowest of the latest 12 incomes as a share of their mean.":
        "最近12笔收入中最低的一笔占平均值的比例。",
    "The latest income as a multiple of the mean of the latest 12.": "最近一笔收入为最近12笔平均值的倍数。",
    "The mean of the latest 3 incomes as a multiple of the mean of the latest 12.":
        "最近3笔收入的平均值为最近12笔平均值的倍数。",
    "Income of the latest 31 days as a share of that of the latest 360 days.":
        "最近31天收入占最近360天收入的比例。",
    "Days until the next income if incomes keep the pace of the latest 6; negative if it is late.":
        "按最近6笔收入的间隔推算，距下一笔收入的天数；已延迟为负。",
    "What is still to be paid of the next instalment of each account as a multiple of the mean of the"
    " latest 6 incomes.": "各账户下一期待还金额为最近6笔收入平均值的倍数。",
    "What is to be paid in the next 31 days as a multiple of the mean of the latest 6 incomes.":
        "未来31天内待还金额为最近6笔收入平均值的倍数。",
    "What is to be paid in the next 31 days as a share of the income of the latest 90 days.":
        "未来31天内待还金额占最近90天收入的比例。",
    "What is still to be paid of all instalments, fallen due or to come.":
        "全部应还款（含已到期和未到期）的待还金额。",
    "What is still to be paid of all instalments as a multiple of the income of 360 days.":
        "全部应还款的待还金额为360天收入的倍数。",
    "Days from the next expected income to the next due date; negative if the due date comes first.":
        "下一笔预计收入至下一到期日的天数；到期日在前为负。",
    "Days from the last expected income before the next due date to that date, at the pace of the latest 6"
    " incomes.": "按最近6笔收入的间隔推算，下一到期日前最后一笔预计收入至该到期日的天数。",
    # Borrowings elsewhere
    "All that is owed elsewhere as a share of all limits there.": "他处负债总余额占他处总额度的比例。",
    "All limits elsewhere less all that is owed there.": "他处总额度减去他处负债总余额。",
    "What is due elsewhere each month as a multiple of the mean of the latest 6 incomes.":
        "他处每月应还金额为最近6笔收入平均值的倍数。",
    "All that is owed elsewhere as a multiple of the income of the latest 360 days.":
        "他处负债总余额为最近360天收入的倍数。",
    "What is to be paid here in the next 31 days and elsewhere in a month.":
        "本机构未来31天内待还与他处每月应还的合计金额。",
    "What is to be paid here in the next 31 days and elsewhere in a month as a multiple of the mean of the"
    " latest 6 incomes.": "本机构未来31天内待还与他处每月应还的合计金额为最近6笔收入平均值的倍数。",
    "All that is still to be paid here and owed elsewhere.": "本机构全部待还与他处负债余额的合计金额。",
    "All that is still to be paid here and owed elsewhere as a multiple of the income of 360 days.":
        "本机构全部待还与他处负债余额的合计金额为360天收入的倍数。",
}  # fmt: skip
